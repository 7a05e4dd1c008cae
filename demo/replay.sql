-- replay.sql: plays an order stream in time order through the public functions.  Variables: source (a shell command that
-- prints the CSV).
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS oms;
CALL oms.init();

DROP SCHEMA IF EXISTS demo CASCADE;
CREATE SCHEMA demo;
CREATE TABLE demo.stream (
    row         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice     text NOT NULL,
    sku         text NOT NULL,
    description text,
    quantity    int NOT NULL,
    at          timestamp NOT NULL,
    price       numeric NOT NULL,
    customer    text,
    country     text
);
\copy demo.stream (invoice, sku, description, quantity, at, price, customer, country) FROM PROGRAM 'eval "$REPLAY_SOURCE"' WITH (FORMAT csv, HEADER, ENCODING 'LATIN1')
UPDATE demo.stream SET customer = rtrim(customer, '0') WHERE customer LIKE '%.0';
UPDATE demo.stream SET customer = rtrim(customer, '.') WHERE customer LIKE '%.';
CREATE INDEX ON demo.stream (at, invoice);
ANALYZE demo.stream;

-- One row for each part of an input line: the parts of a line add up to its quantity.
CREATE TABLE demo.outcome (row bigint NOT NULL, bucket text NOT NULL, quantity int NOT NULL);
-- What was sold, for matching cancellations.
CREATE TABLE demo.sold (
    order_id bigint, line_no int, customer text, sku text, quantity int, undone int NOT NULL DEFAULT 0, sold_at timestamp
) WITH (fillfactor = 70);
CREATE INDEX ON demo.sold (customer, sku);

-- Codes of goods begin with five digits or DCGS; the rest are postage, charges and discounts.
CREATE FUNCTION demo.is_goods(sku text) RETURNS boolean IMMUTABLE LANGUAGE sql
    AS $$ SELECT sku ~ '^([0-9]{5}|DCGS)' $$;

SELECT oms.upsert_channels('[{"code":"mail-order","currency":"GBP","time_zone":"Europe/London"}]') AS channels \gset
SELECT oms.upsert_locations('[{"code":"luton","name":"Luton","latitude":51.88,"longitude":-0.42,"country":"GB"},
                              {"code":"leeds","name":"Leeds","latitude":53.80,"longitude":-1.55,"country":"GB"}]') AS locations \gset
SELECT oms.upsert_items(jsonb_agg(jsonb_build_object('sku', sku, 'name', name,
           'kind', CASE WHEN demo.is_goods(sku) THEN 'stocked' ELSE 'service' END))) AS items
FROM (SELECT sku, max(description) AS name FROM demo.stream GROUP BY sku) i \gset

-- Goods arrive ahead of each week: 98 of 100 units that the week will ask for, two thirds of them in Luton.
CREATE PROCEDURE demo.receive_week(week timestamp) LANGUAGE plpgsql AS $$
DECLARE need record;
BEGIN
    FOR need IN
        SELECT sku, ceil(sum(quantity) * 0.98 * 2 / 3)::int AS luton, floor(sum(quantity) * 0.98 / 3)::int AS leeds
        FROM demo.stream
        WHERE at >= week AND at < week + interval '7 days' AND quantity > 0 AND demo.is_goods(sku)
        GROUP BY sku ORDER BY sku
    LOOP
        PERFORM oms.receive_stock('luton', need.sku, need.luton, 'week ' || week::date);
        IF need.leeds > 0 THEN
            PERFORM oms.receive_stock('leeds', need.sku, need.leeds, 'week ' || week::date);
        END IF;
    END LOOP;
END $$;

-- Places one invoice.  What no location has is cut from the lines, as a mail-order house would do it.
CREATE PROCEDURE demo.place(the_invoice text, the_at timestamp) LANGUAGE plpgsql AS $$
DECLARE
    doc jsonb; answer jsonb; line record; left_over jsonb := '{}'; kept jsonb := '[]'; take int; cut boolean := false;
BEGIN
    SELECT jsonb_build_object('channel', 'mail-order', 'external_ref', the_invoice || ' ' || the_at, 'customer',
               jsonb_strip_nulls(jsonb_build_object('ref', max(customer))), 'attributes', jsonb_build_object('country', max(country)),
               'lines', jsonb_agg(jsonb_build_object('sku', sku, 'quantity', quantity, 'unit_price', price,
                                                     'external_ref', row::text) ORDER BY row))
    INTO doc FROM demo.stream WHERE invoice = the_invoice AND at = the_at AND quantity > 0;
    BEGIN
        answer := oms.place_order(doc);
    EXCEPTION WHEN SQLSTATE 'OM001' THEN
        cut := true;
    END;
    IF cut THEN
        SELECT jsonb_object_agg(s.sku, (SELECT coalesce(sum(a.available), 0) FROM oms.available(s.sku, 'mail-order') a))
        INTO left_over
        FROM (SELECT DISTINCT l ->> 'sku' AS sku FROM jsonb_array_elements(doc -> 'lines') l WHERE demo.is_goods(l ->> 'sku')) s;
        FOR line IN SELECT l, l ->> 'sku' AS sku, (l ->> 'quantity')::int AS quantity FROM jsonb_array_elements(doc -> 'lines') l LOOP
            take := line.quantity;
            IF demo.is_goods(line.sku) THEN
                take := least(take, (left_over ->> line.sku)::int);
                left_over := jsonb_set(left_over, ARRAY[line.sku], to_jsonb((left_over ->> line.sku)::int - take));
            END IF;
            IF take > 0 THEN
                kept := kept || jsonb_set(line.l, '{quantity}', to_jsonb(take));
            END IF;
            IF take < line.quantity THEN
                INSERT INTO demo.outcome VALUES ((line.l ->> 'external_ref')::bigint, 'cut for shortage', line.quantity - take);
            END IF;
        END LOOP;
        IF kept = '[]' THEN
            RETURN;
        END IF;
        doc := jsonb_set(doc, '{lines}', kept);
        answer := oms.place_order(doc);
    END IF;
    INSERT INTO demo.sold (order_id, line_no, customer, sku, quantity, sold_at)
        SELECT (answer ->> 'order_id')::bigint, n, doc #>> '{customer,ref}', l ->> 'sku', (l ->> 'quantity')::int, the_at
        FROM jsonb_array_elements(doc -> 'lines') WITH ORDINALITY x(l, n);
    INSERT INTO demo.outcome
        SELECT (l ->> 'external_ref')::bigint, CASE WHEN demo.is_goods(l ->> 'sku') THEN 'ordered' ELSE 'ordered service' END,
               (l ->> 'quantity')::int
        FROM jsonb_array_elements(doc -> 'lines') l;
END $$;

-- Takes a line of a cancellation back: units that have not left are cancelled, the others come back as a return, are put on
-- the shelf again and their price is refunded.
CREATE PROCEDURE demo.take_back(line demo.stream) LANGUAGE plpgsql AS $$
DECLARE
    need int := -line.quantity; found record; take int; open_units int; back jsonb;
BEGIN
    IF NOT demo.is_goods(line.sku) THEN
        INSERT INTO demo.outcome VALUES (line.row, 'money given back', line.quantity);
        RETURN;
    END IF;
    FOR found IN SELECT s.ctid AS place, s.* FROM demo.sold s WHERE s.customer = line.customer AND s.sku = line.sku
                 AND s.quantity > s.undone ORDER BY s.sold_at DESC LOOP
        EXIT WHEN need = 0;
        SELECT ordered - shipped - cancelled INTO open_units FROM oms.order_lines
        WHERE order_id = found.order_id AND line_no = found.line_no AND tenant_id = 1;
        take := least(need, found.quantity - found.undone);
        IF open_units > 0 THEN
            take := least(take, open_units);
            PERFORM oms.cancel_order(found.order_id, jsonb_build_array(jsonb_build_object('line_no', found.line_no, 'quantity', take)), line.invoice);
            INSERT INTO demo.outcome VALUES (line.row, 'cancelled', -take);
        ELSE
            back := oms.request_return(found.order_id, jsonb_build_array(jsonb_build_object('line_no', found.line_no, 'quantity', take)), line.invoice);
            PERFORM oms.receive_return((back ->> 'return_id')::bigint);
            PERFORM oms.close_return((back ->> 'return_id')::bigint);
            INSERT INTO demo.outcome VALUES (line.row, 'returned', -take);
        END IF;
        UPDATE demo.sold SET undone = undone + take WHERE ctid = found.place;
        need := need - take;
    END LOOP;
    IF need > 0 THEN    -- sold before the stream begins, or to somebody without a number
        PERFORM oms.adjust_stock('luton', line.sku, need, 'return', line.invoice);
        INSERT INTO demo.outcome VALUES (line.row, 'returned, sold elsewhere', -need);
    END IF;
END $$;

-- Negative lines without a customer are corrections of stock.
CREATE PROCEDURE demo.correct(line demo.stream) LANGUAGE plpgsql AS $$
DECLARE
    need int := -line.quantity; place record; take int;
BEGIN
    IF demo.is_goods(line.sku) THEN
        FOR place IN SELECT location, available::int FROM oms.available(line.sku) WHERE available > 0 ORDER BY location LOOP
            EXIT WHEN need = 0;
            take := least(need, place.available);
            PERFORM oms.adjust_stock(place.location, line.sku, -take, 'stocktake', line.invoice);
            need := need - take;
        END LOOP;
    END IF;
    INSERT INTO demo.outcome SELECT line.row, 'stock correction', line.quantity + need WHERE line.quantity + need <> 0;
    INSERT INTO demo.outcome SELECT line.row, 'correction of units not held', -need WHERE need > 0;
END $$;

-- In the evening everything placed leaves the house.
CREATE PROCEDURE demo.ship_all() LANGUAGE plpgsql AS $$
DECLARE f record;
BEGIN
    FOR f IN SELECT fulfillment_id, location_id FROM oms.fulfillments WHERE tenant_id = 1 AND status = 'planned'
             AND fulfillment_id > coalesce(nullif(current_setting('demo.shipped_to', true), '')::bigint, 0) ORDER BY 1 LOOP
        IF f.location_id IS NOT NULL THEN
            PERFORM oms.release_fulfillment(f.fulfillment_id);
            PERFORM oms.ship_fulfillment(f.fulfillment_id, '{"carrier":"Royal Mail"}');
        END IF;
        PERFORM oms.deliver_fulfillment(f.fulfillment_id);
        PERFORM set_config('demo.shipped_to', f.fulfillment_id::text, false);
    END LOOP;
END $$;

CREATE PROCEDURE demo.replay() LANGUAGE plpgsql AS $$
DECLARE
    day date; week timestamp; last_week timestamp; invoice record; line demo.stream; placed int := 0;
    started timestamptz := clock_timestamp();
BEGIN
    FOR day IN SELECT DISTINCT s.at::date FROM demo.stream s ORDER BY 1 LOOP
        week := date_trunc('week', day::timestamp);
        IF week IS DISTINCT FROM last_week THEN
            PERFORM set_config('oms.clock', (day + time '00:01') || ' Europe/London', false);
            CALL demo.receive_week(week);
            last_week := week;
            COMMIT;
        END IF;
        FOR invoice IN SELECT s.invoice AS number, s.at, bool_or(s.quantity > 0) AS sells FROM demo.stream s
                       WHERE s.at >= day AND s.at < day + 1 GROUP BY 1, 2 ORDER BY 2, 1 LOOP
            PERFORM set_config('oms.clock', invoice.at || ' Europe/London', false);
            IF invoice.sells THEN
                CALL demo.place(invoice.number, invoice.at);
                placed := placed + 1;
            END IF;
            FOR line IN SELECT * FROM demo.stream s WHERE s.invoice = invoice.number AND s.at = invoice.at AND s.quantity < 0 ORDER BY row LOOP
                IF invoice.number LIKE 'C%' THEN
                    CALL demo.take_back(line);
                ELSE
                    CALL demo.correct(line);
                END IF;
            END LOOP;
        END LOOP;
        PERFORM set_config('oms.clock', (day + time '22:00') || ' Europe/London', false);
        COMMIT;
        CALL demo.ship_all();
        COMMIT;
        RAISE WARNING '%: % invoices placed so far, % per second', day, placed,
            round(placed / greatest(extract(epoch FROM clock_timestamp() - started), 0.001), 0);
    END LOOP;
    PERFORM set_config('oms.clock', '', false);
    CREATE TABLE demo.speed AS SELECT placed, extract(epoch FROM clock_timestamp() - started) AS seconds;
END $$;
\set VERBOSITY terse
CALL demo.replay();

\echo
\echo '== What happened'
SELECT (SELECT count(*) FROM oms.orders WHERE channel_id = c.channel_id) AS orders,
       (SELECT count(*) FROM demo.sold) AS lines,
       (SELECT sum(quantity) FROM demo.outcome WHERE bucket = 'ordered') AS units,
       (SELECT sum(item_total) FROM oms.orders WHERE channel_id = c.channel_id) AS value_gbp,
       round(100.0 * (SELECT sum(quantity) FROM demo.outcome WHERE bucket = 'ordered')
             / (SELECT sum(quantity) FROM demo.outcome WHERE bucket IN ('ordered', 'cut for shortage')), 1) AS fill_rate_percent,
       (SELECT -sum(quantity) FROM demo.outcome WHERE bucket = 'cancelled') AS cancelled,
       (SELECT -sum(quantity) FROM demo.outcome WHERE bucket = 'returned') AS returned,
       (SELECT sum(amount) FROM oms.refunds r JOIN oms.orders o USING (order_id, tenant_id) WHERE o.channel_id = c.channel_id) AS refunded_gbp,
       (SELECT count(*) FROM oms.events) AS events,
       (SELECT round(placed / seconds) FROM demo.speed) AS orders_per_second_with_everything
FROM oms.channels c WHERE c.code = 'mail-order';
SELECT bucket, count(*) AS parts, sum(quantity) AS units FROM demo.outcome GROUP BY 1 ORDER BY 3 DESC;
\echo '== The sums of the file, and of what became of its lines'
SELECT 'file' AS what, sum(quantity) FILTER (WHERE quantity > 0) AS positive, sum(quantity) FILTER (WHERE quantity < 0) AS negative,
       sum(quantity * price) AS value FROM demo.stream
UNION ALL
SELECT 'replayed', sum(o.quantity) FILTER (WHERE o.quantity > 0), sum(o.quantity) FILTER (WHERE o.quantity < 0), sum(o.quantity * s.price)
FROM demo.outcome o JOIN demo.stream s USING (row)
UNION ALL
SELECT 'order lines', sum(l.ordered), NULL, sum(l.ordered * l.unit_price)
FROM oms.order_lines l JOIN oms.orders o USING (order_id, tenant_id) JOIN oms.channels c USING (channel_id) WHERE c.code = 'mail-order';
DO $$
BEGIN
    IF EXISTS (SELECT FROM demo.stream s LEFT JOIN (SELECT row, sum(quantity) AS quantity FROM demo.outcome GROUP BY 1) o USING (row)
               WHERE s.quantity IS DISTINCT FROM o.quantity AND s.quantity <> 0) THEN
        RAISE EXCEPTION 'an input line is not accounted for';
    END IF;
    IF (SELECT sum(l.ordered) FROM oms.order_lines l JOIN oms.orders o USING (order_id, tenant_id) JOIN oms.channels c USING (channel_id)
        WHERE c.code = 'mail-order') <> (SELECT sum(quantity) FROM demo.outcome WHERE bucket LIKE 'ordered%') THEN
        RAISE EXCEPTION 'order lines do not add up to what was ordered';
    END IF;
    IF (SELECT sum(l.returned) FROM oms.order_lines l JOIN oms.orders o USING (order_id, tenant_id) JOIN oms.channels c USING (channel_id)
        WHERE c.code = 'mail-order') <> (SELECT coalesce(-sum(quantity), 0) FROM demo.outcome WHERE bucket = 'returned') THEN
        RAISE EXCEPTION 'returns do not add up to what came back';
    END IF;
    IF EXISTS (SELECT FROM demo.outcome o JOIN demo.stream s USING (row) WHERE o.bucket = 'returned' AND s.price > 0)
        AND (SELECT sum(amount) FROM oms.refunds) <> (SELECT sum(round(l.refund, 2)) FROM oms.return_lines l) THEN
        RAISE EXCEPTION 'refunds do not add up to what the returned units are worth';
    END IF;
    IF EXISTS (SELECT FROM oms.audit()) THEN
        RAISE EXCEPTION 'audit() found something';
    END IF;
END $$;
\echo '== audit() finds nothing:'
SELECT * FROM oms.audit();
