-- routing_queue.sql: what could not be routed, and what was tried.

CREATE PROCEDURE oms.init_routing_queue() LANGUAGE plpgsql AS $init$
BEGIN
    -- Roles of role_scopes that the reader has; who has none acts for tenant 1, the owner of the tables for all.
    CREATE VIEW oms.reader_scopes WITH (security_barrier) AS
        WITH mine AS (
            SELECT s.tenant_id, s.channel_id, s.location_id FROM oms.role_scopes s
            WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = s.role_name AND pg_has_role(r.oid, 'USAGE')))
        SELECT tenant_id, channel_id, location_id, false AS everything FROM mine
        UNION ALL SELECT 1, NULL, NULL, false WHERE NOT EXISTS (SELECT FROM mine)
        UNION ALL SELECT NULL, NULL, NULL, true FROM pg_class c WHERE c.oid = 'oms.role_scopes'::regclass AND pg_has_role(c.relowner, 'USAGE');
    COMMENT ON VIEW oms.reader_scopes IS 'which tenants, channels and locations the reader of a view may see; null: all';

    CREATE VIEW oms.routing_queue WITH (security_barrier) AS
        WITH promised AS (
            SELECT l.tenant_id, l.order_id, l.line_no, a.location_id, sum(a.promised - a.shipped - a.cancelled)::int AS quantity,
                   min(a.promised_at) AS since
            FROM oms.order_lines l
                 JOIN oms.allocations a ON a.order_id = l.order_id AND a.line_no = l.line_no AND a.tenant_id = l.tenant_id
                 JOIN oms.fulfillments f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = l.tenant_id AND f.backordered
            WHERE l.backordered > 0 AND a.promised > a.shipped + a.cancelled
            GROUP BY l.tenant_id, l.order_id, l.line_no, a.location_id),
        waiting AS (
            SELECT p.tenant_id, p.order_id, p.line_no, p.location_id, p.quantity, p.since,
                   CASE WHEN s.expected_at IS NULL THEN 'backorder' ELSE 'preorder' END AS kind,
                   CASE WHEN s.expected_at IS NULL THEN 'promised beyond what is on hand' ELSE 'promised of an expected supply' END AS reason,
                   s.expected_at
            FROM promised p
                 JOIN oms.order_lines l ON l.order_id = p.order_id AND l.line_no = p.line_no AND l.tenant_id = p.tenant_id
                 LEFT JOIN LATERAL (
                     SELECT min(u.expected_at) AS expected_at FROM oms.supplies u
                     WHERE u.item_id = l.item_id AND u.location_id = p.location_id AND u.tenant_id = p.tenant_id
                       AND u.status IN ('expected', 'partially_received')) s ON true
            UNION ALL
            -- A rejection, else a count, took the promise away.
            SELECT l.tenant_id, l.order_id, l.line_no, NULL, l.backordered - coalesce(p.quantity, 0), coalesce(r.at, w.at, o.placed_at),
                   CASE WHEN r.at IS NULL THEN 'unfillable' WHEN d.method = 'pickup' THEN 'pickup rejected' ELSE 'rejected' END,
                   coalesce(r.reason, w.reason, 'nobody can promise it'), NULL
            FROM oms.order_lines l
                 JOIN oms.orders o ON o.order_id = l.order_id AND o.tenant_id = l.tenant_id
                 LEFT JOIN oms.order_deliveries d ON d.order_id = l.order_id AND d.delivery_no = l.delivery_no AND d.tenant_id = l.tenant_id
                 LEFT JOIN LATERAL (
                     SELECT sum(p.quantity)::int AS quantity FROM promised p
                     WHERE p.order_id = l.order_id AND p.line_no = l.line_no AND p.tenant_id = l.tenant_id) p ON true
                 LEFT JOIN LATERAL (
                     SELECT e.at, coalesce(e.reason, 'rejected by its location') AS reason FROM oms.events e
                     WHERE e.order_id = l.order_id AND e.tenant_id = l.tenant_id AND e.object_type = 'fulfillment' AND e.to_state = 'rejected'
                       AND EXISTS (SELECT FROM oms.allocations a WHERE a.order_id = l.order_id AND a.line_no = l.line_no
                                   AND a.fulfillment_id = e.object_id AND a.tenant_id = l.tenant_id)
                     ORDER BY e.event_id DESC LIMIT 1) r ON true
                 LEFT JOIN LATERAL (
                     SELECT e.at, coalesce(e.reason, 'a count withdrew the promise') AS reason FROM oms.events e
                     WHERE e.order_id = l.order_id AND e.tenant_id = l.tenant_id AND e.type = 'fulfillment.promise_withdrawn'
                       AND EXISTS (SELECT FROM oms.allocations a WHERE a.order_id = l.order_id AND a.line_no = l.line_no
                                   AND a.fulfillment_id = e.object_id AND a.tenant_id = l.tenant_id)
                     ORDER BY e.event_id DESC LIMIT 1) w ON true
            WHERE l.backordered > coalesce(p.quantity, 0)
            UNION ALL
            -- An exchange whose order is placed once its return is approved or received, or could not be placed then.
            SELECT l.tenant_id, l.order_id, l.line_no, NULL, l.ordered - l.cancelled, coalesce(w.at, r.requested_at), 'new',
                   coalesce(w.reason, format('waits for the %s of return %s', r.exchange_on, r.return_id)), NULL
            FROM oms.returns r
                 JOIN oms.orders o ON o.order_id = r.exchange_order_id AND o.tenant_id = r.tenant_id AND o.status = 'draft'
                 JOIN oms.order_lines l ON l.order_id = o.order_id AND l.tenant_id = o.tenant_id
                 LEFT JOIN LATERAL (
                     SELECT e.at, e.reason FROM oms.events e
                     WHERE e.order_id = o.order_id AND e.tenant_id = o.tenant_id AND e.type = 'order.exchange_waits'
                     ORDER BY e.event_id LIMIT 1) w ON true
            WHERE r.exchange_order_id IS NOT NULL)
        SELECT q.tenant_id, q.order_id, o.channel_id, o.external_ref, q.line_no, l.delivery_no, l.item_id, q.kind, q.quantity, q.location_id,
               q.reason, q.since, q.expected_at, t.attempts, t.last_attempt_at
        FROM waiting q
             JOIN oms.orders o ON o.order_id = q.order_id AND o.tenant_id = q.tenant_id
             JOIN oms.order_lines l ON l.order_id = q.order_id AND l.line_no = q.line_no AND l.tenant_id = q.tenant_id
             LEFT JOIN LATERAL (
                 SELECT count(*)::int AS attempts, max(e.at) AS last_attempt_at FROM oms.events e
                 WHERE e.order_id = q.order_id AND e.tenant_id = q.tenant_id AND e.at >= q.since
                   AND e.type IN ('order.route_kept', 'order.rerouted', 'order.backorder_filled', 'order.exchange_waits')) t ON true
        WHERE EXISTS (SELECT FROM oms.reader_scopes s WHERE s.everything OR (s.tenant_id = q.tenant_id
                      AND (s.channel_id IS NULL OR s.channel_id = o.channel_id)
                      AND (s.location_id IS NULL OR s.location_id = q.location_id)));
    COMMENT ON VIEW oms.routing_queue IS 'units of orders that could not be routed yet: why, since when, and how often somebody tried';
    COMMENT ON COLUMN oms.routing_queue.kind IS 'backorder: promised beyond what is on hand; preorder: promised of an expected supply; rejected, pickup rejected: the location refused them; unfillable: nobody promises them; new: an exchange that waits for its return';
    COMMENT ON COLUMN oms.routing_queue.attempts IS 'runs of route_order and fill_backorders that looked at the order since, and tries to place an exchange';
END $init$;
