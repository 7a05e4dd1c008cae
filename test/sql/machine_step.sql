-- machine_step.sql: every step of every machine on a user's own table, the allowed and the forbidden ones.
\pset pager off
CREATE DATABASE oms_machine_step;
\c oms_machine_step
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT machine, from_state, string_agg(action || ' -> ' || to_state, ', ' ORDER BY action COLLATE "C") FROM oms.transitions
GROUP BY machine, from_state ORDER BY machine COLLATE "C", from_state COLLATE "C";

-- The trigger allows exactly the pairs of the table.
DO $$
DECLARE
    one record;
    allowed boolean;
    wrong int := 0;
    tried int := 0;
BEGIN
    FOR one IN SELECT DISTINCT machine FROM oms.state_machines ORDER BY 1 LOOP
        EXECUTE format('CREATE TABLE thing_%s (id int PRIMARY KEY, status text)', one.machine);
        EXECUTE format('INSERT INTO thing_%1$s SELECT row_number() OVER (), state FROM oms.state_machines WHERE machine = %1$L',
                       one.machine);
        EXECUTE format('CREATE TRIGGER steps BEFORE UPDATE ON thing_%1$s FOR EACH ROW
                        EXECUTE FUNCTION oms.enforce_transitions(%1$L)', one.machine);
    END LOOP;
    FOR one IN SELECT a.machine, a.state AS old, b.state AS new, EXISTS (SELECT FROM oms.transitions t
                   WHERE t.machine = a.machine AND t.from_state = a.state AND t.to_state = b.state) AS legal
               FROM oms.state_machines a JOIN oms.state_machines b USING (machine) WHERE a.state <> b.state LOOP
        tried := tried + 1;
        BEGIN
            EXECUTE format('UPDATE thing_%s SET status = %L WHERE status = %L', one.machine, one.new, one.old);
            RAISE EXCEPTION 'took the step' USING ERRCODE = 'ZZZZZ';
        EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
            allowed := true;
        WHEN SQLSTATE 'OM002' THEN
            allowed := false;
        END;
        IF allowed <> one.legal THEN
            wrong := wrong + 1;
            RAISE WARNING '%: % to % allowed % legal %', one.machine, one.old, one.new, allowed, one.legal;
        END IF;
    END LOOP;
    RAISE NOTICE '% pairs of states tried, % wrong', tried, wrong;
END $$;

-- A guard that returns null refuses, and a hook may return nothing.
CREATE FUNCTION unsure(step jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
CREATE FUNCTION quiet(step jsonb) RETURNS void LANGUAGE sql AS 'SELECT NULL::void';
BEGIN;
UPDATE oms.transitions SET guard = 'public.unsure' WHERE machine = 'supply' AND from_state = 'expected' AND action = 'complete';
UPDATE oms.transitions SET after_hook = 'public.quiet' WHERE machine = 'supply' AND from_state = 'expected' AND action = 'cancel';
COMMIT;
UPDATE thing_supply SET status = 'received' WHERE status = 'expected';
UPDATE thing_supply SET status = 'cancelled' WHERE status = 'expected';

-- All faults of a machine at once, when the transaction ends.
BEGIN;
INSERT INTO oms.state_machines (machine, state, kind) VALUES ('broken', 'a', 'initial'), ('broken', 'b', 'initial'), ('broken', 'c', 'normal'),
    ('broken', 'island', 'normal'), ('broken', 'end', 'final');
INSERT INTO oms.transitions (machine, from_state, action, to_state, guard) VALUES ('broken', 'a', 'go', 'c', 'public.missing'),
    ('broken', 'end', 'back', 'a', NULL);
COMMIT;
SELECT count(*) FROM oms.state_machines WHERE machine = 'broken';
\c postgres
DROP DATABASE oms_machine_step;
