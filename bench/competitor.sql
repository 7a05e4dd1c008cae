-- competitor.sql: placing an order as a careful engineer writes it in PL/pgSQL, for comparison.
--
-- Set-based statements, row locks in one order, a guarded counter with a CHECK behind it, idempotent on
-- (channel, external_ref), the nearest location that has everything or else a split from the nearest on, one event.
-- It has nothing of the rest of an order management system.

CREATE SCHEMA competitor;

CREATE TABLE competitor.locations (
    location_id int PRIMARY KEY,
    latitude    float8 NOT NULL,
    longitude   float8 NOT NULL
);

CREATE TABLE competitor.items (
    item_id int PRIMARY KEY,
    sku     text NOT NULL UNIQUE
);

CREATE TABLE competitor.stock (
    item_id     int NOT NULL,
    location_id int NOT NULL REFERENCES competitor.locations,
    on_hand     int NOT NULL,
    reserved    int NOT NULL DEFAULT 0,
    PRIMARY KEY (item_id, location_id),
    CHECK (reserved BETWEEN 0 AND on_hand)
) WITH (fillfactor = 70);

CREATE TABLE competitor.orders (
    order_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel      text NOT NULL,
    external_ref text NOT NULL,
    status       text NOT NULL,
    customer     text,
    ship_to      jsonb,
    currency     text NOT NULL,
    total        numeric NOT NULL,
    placed_at    timestamptz NOT NULL,
    UNIQUE (channel, external_ref)
) WITH (fillfactor = 80);

CREATE TABLE competitor.order_lines (
    order_id   bigint NOT NULL REFERENCES competitor.orders,
    line_no    int NOT NULL,
    item_id    int NOT NULL,
    quantity   int NOT NULL CHECK (quantity > 0),
    unit_price numeric NOT NULL,
    PRIMARY KEY (order_id, line_no)
);

CREATE TABLE competitor.fulfillments (
    fulfillment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id       bigint NOT NULL REFERENCES competitor.orders,
    location_id    int NOT NULL,
    status         text NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX ON competitor.fulfillments (order_id);

CREATE TABLE competitor.fulfillment_lines (
    fulfillment_id bigint NOT NULL REFERENCES competitor.fulfillments,
    line_no        int NOT NULL,
    quantity       int NOT NULL,
    PRIMARY KEY (fulfillment_id, line_no)
);

CREATE TABLE competitor.events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    type     text NOT NULL,
    data     jsonb NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION competitor.place_order(doc jsonb) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
    new_id     bigint;
    lat        float8 := (doc #>> '{ship_to,latitude}')::float8;
    lon        float8 := (doc #>> '{ship_to,longitude}')::float8;
    wanted     int[];    -- items
    units      int[];    -- units of each
    line_numbers int[];  -- first line of each
    one_place  int;
    plan_lines int[];
    plan_items int[];
    plan_places int[];
    plan_units int[];
BEGIN
    INSERT INTO competitor.orders (channel, external_ref, status, customer, ship_to, currency, total, placed_at)
    SELECT doc ->> 'channel', doc ->> 'external_ref', 'placed', doc #>> '{customer,ref}', doc -> 'ship_to',
           doc ->> 'currency', sum((l ->> 'quantity')::int * (l ->> 'unit_price')::numeric), now()
    FROM jsonb_array_elements(doc -> 'lines') l
    ON CONFLICT (channel, external_ref) DO NOTHING
    RETURNING order_id INTO new_id;
    IF new_id IS NULL THEN
        SELECT order_id INTO STRICT new_id FROM competitor.orders
        WHERE channel = doc ->> 'channel' AND external_ref = doc ->> 'external_ref';
        RETURN new_id;
    END IF;

    INSERT INTO competitor.order_lines (order_id, line_no, item_id, quantity, unit_price)
    SELECT new_id, l.n, i.item_id, (l.line ->> 'quantity')::int, (l.line ->> 'unit_price')::numeric
    FROM jsonb_array_elements(doc -> 'lines') WITH ORDINALITY l(line, n)
         JOIN competitor.items i ON i.sku = l.line ->> 'sku';

    SELECT array_agg(item_id ORDER BY item_id), array_agg(quantity ORDER BY item_id), array_agg(line_no ORDER BY item_id)
    INTO wanted, units, line_numbers
    FROM (SELECT item_id, sum(quantity)::int AS quantity, min(line_no) AS line_no
          FROM competitor.order_lines WHERE order_id = new_id GROUP BY item_id) d;

    -- Every counter that may take part, locked in one order, so that the plan below cannot be overtaken.
    PERFORM FROM competitor.stock
    WHERE item_id = ANY (wanted) AND on_hand > reserved
    ORDER BY item_id, location_id FOR NO KEY UPDATE;

    SELECT p.location_id INTO one_place
    FROM competitor.locations p
         JOIN competitor.stock s ON s.location_id = p.location_id
         JOIN unnest(wanted, units) w(item_id, quantity) ON w.item_id = s.item_id
    WHERE s.on_hand - s.reserved >= w.quantity
    GROUP BY p.location_id, p.latitude, p.longitude
    HAVING count(*) = cardinality(wanted)
    ORDER BY (p.latitude - lat) ^ 2 + (p.longitude - lon) ^ 2, p.location_id
    LIMIT 1;

    IF one_place IS NOT NULL THEN
        plan_lines := line_numbers;
        plan_items := wanted;
        plan_units := units;
        plan_places := array_fill(one_place, ARRAY[cardinality(wanted)]);
    ELSE
        SELECT array_agg(line_no), array_agg(item_id), array_agg(location_id), array_agg(least(free, quantity - before)::int)
        INTO plan_lines, plan_items, plan_places, plan_units
        FROM (SELECT w.line_no, w.item_id, w.quantity, s.location_id, s.on_hand - s.reserved AS free,
                     coalesce(sum(s.on_hand - s.reserved) OVER nearest, 0) AS before
              FROM unnest(wanted, units, line_numbers) w(item_id, quantity, line_no)
                   JOIN competitor.stock s ON s.item_id = w.item_id
                   JOIN competitor.locations p ON p.location_id = s.location_id
              WHERE s.on_hand > s.reserved
              WINDOW nearest AS (PARTITION BY w.item_id
                                 ORDER BY (p.latitude - lat) ^ 2 + (p.longitude - lon) ^ 2, p.location_id
                                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) c
        WHERE before < quantity;
        IF (SELECT coalesce(sum(u), 0) FROM unnest(plan_units) u) < (SELECT sum(u) FROM unnest(units) u) THEN
            RAISE EXCEPTION 'not enough stock';
        END IF;
    END IF;

    UPDATE competitor.stock s SET reserved = s.reserved + p.units
    FROM unnest(plan_items, plan_places, plan_units) p(item_id, location_id, units)
    WHERE s.item_id = p.item_id AND s.location_id = p.location_id;

    WITH made AS (
        INSERT INTO competitor.fulfillments (order_id, location_id, status)
        SELECT DISTINCT new_id, place, 'planned' FROM unnest(plan_places) place
        RETURNING fulfillment_id, location_id)
    INSERT INTO competitor.fulfillment_lines (fulfillment_id, line_no, quantity)
    SELECT m.fulfillment_id, p.line_no, p.units
    FROM unnest(plan_lines, plan_places, plan_units) p(line_no, location_id, units)
         JOIN made m ON m.location_id = p.location_id;

    INSERT INTO competitor.events (order_id, type, data)
    VALUES (new_id, 'order.placed', jsonb_build_object('order_id', new_id, 'external_ref', doc ->> 'external_ref'));
    RETURN new_id;
END $f$;
