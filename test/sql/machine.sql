-- State machines: the built-in ones, the user's own, faults, diagrams.
SELECT machine, string_agg(state || CASE kind WHEN 'normal' THEN '' ELSE ' (' || kind || ')' END, ', ' ORDER BY state) AS states
FROM oms.state_machines WHERE tenant_id = 1 GROUP BY 1 ORDER BY 1;
SELECT machine, from_state, action, to_state FROM oms.transitions WHERE tenant_id = 1 ORDER BY 1, 2, 3;

-- A machine of the user's on a table of the user's.
BEGIN;
INSERT INTO oms.state_machines (machine, state, kind) VALUES
    ('ticket', 'open', 'initial'), ('ticket', 'waiting', 'normal'), ('ticket', 'closed', 'final');
INSERT INTO oms.transitions (machine, from_state, action, to_state) VALUES
    ('ticket', 'open', 'ask', 'waiting'), ('ticket', 'waiting', 'answer', 'open'), ('ticket', 'open', 'close', 'closed');
COMMIT;
CREATE TABLE ticket (ticket_id int PRIMARY KEY, status text);
CREATE TRIGGER steps BEFORE INSERT OR UPDATE ON ticket FOR EACH ROW EXECUTE FUNCTION oms.enforce_transitions('ticket');
INSERT INTO ticket VALUES (1, 'closed');
INSERT INTO ticket VALUES (1, 'open');

-- Every pair of states: what is allowed is what the table says.
DO $$
DECLARE
    a text; b text; outcome text; expected boolean;
BEGIN
    FOREACH a IN ARRAY ARRAY['open', 'waiting', 'closed'] LOOP
        FOREACH b IN ARRAY ARRAY['open', 'waiting', 'closed', 'nowhere'] LOOP
            ALTER TABLE ticket DISABLE TRIGGER steps;
            UPDATE ticket SET status = a;
            ALTER TABLE ticket ENABLE TRIGGER steps;
            expected := a = b OR EXISTS (SELECT FROM oms.transitions WHERE machine = 'ticket' AND from_state = a AND to_state = b);
            BEGIN
                UPDATE ticket SET status = b;
                outcome := 'allowed';
            EXCEPTION WHEN SQLSTATE 'OM002' THEN
                outcome := 'refused';
            END;
            IF (outcome = 'allowed') IS DISTINCT FROM expected THEN
                RAISE EXCEPTION '% to %: %', a, b, outcome;
            END IF;
        END LOOP;
    END LOOP;
END $$;
SELECT type, action, from_state, to_state, object_id FROM oms.events WHERE object_type = 'ticket' ORDER BY event_id;
\set VERBOSITY default
ALTER TABLE ticket DISABLE TRIGGER steps;
UPDATE ticket SET status = 'closed';
ALTER TABLE ticket ENABLE TRIGGER steps;
UPDATE ticket SET status = 'open';

-- A changed machine is used at once; guards and hooks are the user's functions.
INSERT INTO oms.transitions (machine, from_state, action, to_state) VALUES ('ticket', 'closed', 'reopen', 'open');
UPDATE ticket SET status = 'open';
CREATE FUNCTION may_close(step jsonb) RETURNS boolean LANGUAGE sql AS $$ SELECT (step ->> 'object_id')::int <> 1 $$;
UPDATE oms.transitions SET guard = 'public.may_close' WHERE machine = 'ticket' AND action = 'close';
UPDATE ticket SET status = 'closed';
CREATE TABLE hooked (step jsonb);
CREATE FUNCTION hook(step jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.hooked VALUES (step) $$;
UPDATE oms.transitions SET guard = NULL, after_hook = 'public.hook' WHERE machine = 'ticket' AND action = 'close';
UPDATE ticket SET status = 'closed';
SELECT step ->> 'action' AS action, step ->> 'to_state' AS to_state FROM hooked;

-- Faults of a machine are listed together, at the end of the transaction.
BEGIN;
INSERT INTO oms.state_machines (machine, state, kind) VALUES
    ('bad', 'a', 'initial'), ('bad', 'b', 'initial'), ('bad', 'c', 'normal');
INSERT INTO oms.transitions (machine, from_state, action, to_state, guard) VALUES ('bad', 'a', 'go', 'b', 'no.such_function');
COMMIT;
BEGIN;
INSERT INTO oms.state_machines (machine, state, kind) VALUES
    ('bad', 'a', 'initial'), ('bad', 'b', 'final'), ('bad', 'island', 'final'), ('bad', 'dead', 'normal');
INSERT INTO oms.transitions (machine, from_state, action, to_state) VALUES ('bad', 'a', 'go', 'b'), ('bad', 'a', 'die', 'dead');
COMMIT;

TRUNCATE oms.transitions;
TRUNCATE oms.state_machines CASCADE;

SELECT oms.state_diagram('payment');
SELECT oms.state_diagram('ticket', 'dot');
SELECT oms.state_diagram('ticket', 'png');
SELECT oms.state_diagram('unknown');

-- The status of an order cannot be set by hand against the machine.
UPDATE oms.orders SET status = 'draft' WHERE external_ref = 'same' AND tenant_id = 1;
DROP TABLE ticket;
