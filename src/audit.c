/*
 * audit.c
 *	  Recomputes every counter, balance and status from the ledgers.
 *
 * One statement, so one snapshot: it runs beside traffic without false alarm,
 * and on a standby.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "audit.h"
#include "call.h"
#include "relation.h"

/* Each part yields (check, object, expected, found) for the tenant $1. */
#define STOCK_PARTS \
	"SELECT 'stock.on_hand', s.item_id || ' at ' || s.location_id, coalesce(m.units, 0)::text, s.on_hand::text" \
	" FROM {stock} s LEFT JOIN (SELECT item_id, location_id, sum(on_hand_delta) AS units FROM {stock_movements}" \
	" WHERE tenant_id = $1 GROUP BY item_id, location_id) m USING (item_id, location_id)" \
	" WHERE s.tenant_id = $1 AND s.on_hand <> coalesce(m.units, 0)" \
	" UNION ALL SELECT 'stock.reserved', s.item_id || ' at ' || s.location_id, coalesce(a.units, 0)::text, s.reserved::text" \
	" FROM {stock} s LEFT JOIN (SELECT item_id, location_id, sum(units) AS units FROM (" \
	"SELECT item_id, location_id, (promised - shipped - cancelled)::bigint FROM {allocations} WHERE tenant_id = $1" \
	" UNION ALL SELECT item_id, location_id, quantity::bigint FROM {reservation_lines} WHERE tenant_id = $1" \
	") u(item_id, location_id, units) GROUP BY item_id, location_id) a USING (item_id, location_id)" \
	" WHERE s.tenant_id = $1 AND s.reserved <> coalesce(a.units, 0)" \
	" UNION ALL SELECT 'stock.reserved_ledger', s.item_id || ' at ' || s.location_id," \
	" (coalesce(a.units, 0) + coalesce(m.units, 0))::text, s.reserved::text" \
	" FROM {stock} s LEFT JOIN (SELECT item_id, location_id, sum(promised) AS units FROM {allocations}" \
	" WHERE tenant_id = $1 GROUP BY item_id, location_id) a USING (item_id, location_id)" \
	" LEFT JOIN (SELECT item_id, location_id, sum(reserved_delta) AS units FROM {stock_movements}" \
	" WHERE tenant_id = $1 GROUP BY item_id, location_id) m USING (item_id, location_id)" \
	" WHERE s.tenant_id = $1 AND s.reserved <> coalesce(a.units, 0) + coalesce(m.units, 0)" \
	" UNION ALL SELECT 'stock.missing', a.item_id || ' at ' || a.location_id, sum(promised - shipped - cancelled)::text, '0'" \
	" FROM {allocations} a WHERE a.tenant_id = $1 AND a.location_id IS NOT NULL AND NOT EXISTS (SELECT FROM {stock} s" \
	" WHERE s.tenant_id = $1 AND s.item_id = a.item_id AND s.location_id = a.location_id)" \
	" GROUP BY a.item_id, a.location_id HAVING sum(promised - shipped - cancelled) <> 0" \
	" UNION ALL SELECT 'stock.oversold', s.item_id || ' at ' || s.location_id, (s.on_hand + s.backorder_limit)::text," \
	" s.reserved::text FROM {stock} s WHERE s.tenant_id = $1 AND s.reserved > s.on_hand + s.backorder_limit" \
	" UNION ALL SELECT 'stock.firm', s.item_id || ' at ' || s.location_id, s.on_hand || ' or less', f.units::text" \
	" FROM {stock} s JOIN (SELECT item_id, location_id, sum(units) AS units FROM (" \
	"SELECT a.item_id, a.location_id, (a.promised - a.shipped - a.cancelled)::bigint FROM {allocations} a" \
	" JOIN {fulfillments} x ON x.fulfillment_id = a.fulfillment_id AND x.tenant_id = $1" \
	" WHERE a.tenant_id = $1 AND NOT x.backordered AND a.promised > a.shipped + a.cancelled" \
	" UNION ALL SELECT item_id, location_id, quantity::bigint FROM {reservation_lines} WHERE tenant_id = $1" \
	") u(item_id, location_id, units) GROUP BY item_id, location_id) f USING (item_id, location_id)" \
	" WHERE s.tenant_id = $1 AND f.units > s.on_hand" \
	" UNION ALL SELECT 'stock.stripes', item_id || ' at ' || location_id," \
	" coalesce(max(stripes) FILTER (WHERE stripe = 0), 0)::text, count(*)::text FROM {stock_counters} WHERE tenant_id = $1" \
	" GROUP BY item_id, location_id HAVING count(*) <> coalesce(max(stripes) FILTER (WHERE stripe = 0), 0)" \
	" OR max(stripe) <> count(*) - 1"

/* States other than sellable have no promises: the ledger is all. */
#define STATE_PARTS \
	" UNION ALL SELECT 'stock_state.quantity', item_id || ' at ' || location_id || ' ' || state, coalesce(m.units, 0)::text," \
	" coalesce(s.quantity, 0)::text FROM (SELECT * FROM {stock_states} WHERE tenant_id = $1) s FULL JOIN" \
	" (SELECT item_id, location_id, state, sum(state_delta) AS units FROM {stock_movements}" \
	" WHERE tenant_id = $1 AND state IS NOT NULL GROUP BY item_id, location_id, state) m USING (item_id, location_id, state)" \
	" WHERE coalesce(s.quantity, 0) <> coalesce(m.units, 0)"

/* Lots of tracked items add up to on hand, and to their own ledger. */
#define LOT_PARTS \
	" UNION ALL SELECT 'lot.quantity', item_id || ' at ' || location_id || ' ' || lot, coalesce(m.units, 0)::text," \
	" coalesce(l.quantity, 0)::text FROM (SELECT * FROM {lots} WHERE tenant_id = $1) l FULL JOIN" \
	" (SELECT item_id, location_id, lot, sum(delta) AS units FROM {lot_movements}" \
	" WHERE tenant_id = $1 GROUP BY item_id, location_id, lot) m USING (item_id, location_id, lot)" \
	" WHERE coalesce(l.quantity, 0) <> coalesce(m.units, 0)" \
	" UNION ALL SELECT 'lot.on_hand', item_id || ' at ' || location_id, coalesce(s.on_hand, 0)::text," \
	" coalesce(l.units, 0)::text FROM (SELECT s.* FROM {stock} s JOIN {items} i ON i.item_id = s.item_id AND i.tenant_id = $1" \
	" AND i.tracking <> 'none' WHERE s.tenant_id = $1) s FULL JOIN (SELECT item_id, location_id, sum(quantity) AS units" \
	" FROM {lots} WHERE tenant_id = $1 GROUP BY item_id, location_id) l USING (item_id, location_id)" \
	" WHERE coalesce(s.on_hand, 0) <> coalesce(l.units, 0)" \
	" UNION ALL SELECT 'lot.promised', a.item_id || ' at ' || a.location_id || ' ' || a.lot, 'at most ' || coalesce(l.quantity, 0)," \
	" a.units::text FROM (SELECT item_id, location_id, lot, sum(promised - shipped - cancelled) AS units FROM {allocations}" \
	" WHERE tenant_id = $1 AND lot IS NOT NULL AND promised > shipped + cancelled GROUP BY item_id, location_id, lot) a" \
	" LEFT JOIN {lots} l ON l.item_id = a.item_id AND l.location_id = a.location_id AND l.lot = a.lot AND l.tenant_id = $1" \
	" WHERE a.units > coalesce(l.quantity, 0)"

/* Holds belong to reservations that have not ended, and to counters. */
#define RESERVATION_PARTS \
	" UNION ALL SELECT 'reservation.lines', l.reservation_id::text, 'held', coalesce(r.status, 'none')" \
	" FROM {reservation_lines} l LEFT JOIN {reservations} r ON r.reservation_id = l.reservation_id AND r.tenant_id = $1" \
	" WHERE l.tenant_id = $1 AND r.status IS DISTINCT FROM 'held'" \
	" UNION ALL SELECT 'reservation.stock', l.reservation_id::text, l.quantity::text, '0'" \
	" FROM {reservation_lines} l WHERE l.tenant_id = $1 AND NOT EXISTS (SELECT FROM {stock} s" \
	" WHERE s.tenant_id = $1 AND s.item_id = l.item_id AND s.location_id = l.location_id)"

/* A quota has used what the orders of its channel hold that were placed while it ran. */
#define QUOTA_PARTS \
	" UNION ALL SELECT 'quota.used', q.quota_id::text, coalesce(u.units, 0)::text, q.used::text FROM {channel_quotas} q" \
	" LEFT JOIN (SELECT x.quota_id, sum(l.allocated + l.backordered) AS units FROM {channel_quotas} x" \
	" JOIN {orders} o ON o.tenant_id = $1 AND o.channel_id = x.channel_id AND o.placed_at >= x.starts_at" \
	" AND (x.ends_at IS NULL OR o.placed_at < x.ends_at)" \
	" JOIN {order_lines} l ON l.order_id = o.order_id AND l.tenant_id = $1 AND l.item_id = x.item_id" \
	" WHERE x.tenant_id = $1 AND x.location_id IS NULL AND x.location_group IS NULL GROUP BY x.quota_id) u USING (quota_id)" \
	" WHERE q.tenant_id = $1 AND q.used <> coalesce(u.units, 0)"

/*
 * Shares of an item have used what the orders of each channel hold firmly that were placed while its tree ran;
 * siblings have a parent, and not more than the whole of it.
 */
#define QUOTA_TREE_PARTS \
	" UNION ALL SELECT 'quota_tree.used', item_id || ' in ' || channel_id, coalesce(e.units, 0)::text, coalesce(u.used, 0)::text" \
	" FROM (SELECT * FROM {quota_uses} WHERE tenant_id = $1) u FULL JOIN (SELECT l.item_id, o.channel_id," \
	" sum(l.allocated) AS units FROM {quota_trees} t JOIN {orders} o ON o.tenant_id = $1 AND o.placed_at >= t.starts_at" \
	" AND (t.ends_at IS NULL OR o.placed_at < t.ends_at) JOIN {order_lines} l ON l.order_id = o.order_id" \
	" AND l.tenant_id = $1 AND l.item_id = t.item_id WHERE t.tenant_id = $1 GROUP BY l.item_id, o.channel_id) e" \
	" USING (item_id, channel_id) WHERE coalesce(u.used, 0) <> coalesce(e.units, 0)" \
	" UNION ALL SELECT 'quota_tree.parent', s.item_id || ' at ' || s.position, s.parent::text, 'none' FROM {quota_shares} s" \
	" LEFT JOIN {quota_shares} p ON p.item_id = s.item_id AND p.position = s.parent AND p.tenant_id = $1" \
	" WHERE s.tenant_id = $1 AND s.parent > 0 AND p.position IS NULL" \
	" UNION ALL SELECT 'quota_tree.percent', s.item_id || ' below ' || s.parent, 'at most 100', sum(s.percent)::text" \
	" FROM {quota_shares} s WHERE s.tenant_id = $1 GROUP BY s.item_id, s.parent HAVING sum(s.percent) > 100"

/* A channel's stock stands on the side of its threshold that the last event told of. */
#define LEVEL_PARTS \
	" UNION ALL SELECT 'channel_level.level', x.level_id::text, e.level, x.level FROM {channel_levels} x" \
	" JOIN (SELECT DISTINCT ON (object_id) object_id, data ->> 'level' AS level FROM {events} WHERE tenant_id = $1" \
	" AND object_type = 'channel_level' ORDER BY object_id, event_id DESC) e ON e.object_id = x.level_id" \
	" WHERE x.tenant_id = $1 AND x.level <> e.level"

/* Supplies have received what their movements say; what may be promised of them is in the limit of the counter. */
#define SUPPLY_PARTS \
	" UNION ALL SELECT 'supply.received', s.supply_id::text, coalesce(m.units, 0)::text, s.received::text FROM {supplies} s" \
	" LEFT JOIN (SELECT reason, sum(on_hand_delta) AS units FROM {stock_movements} WHERE tenant_id = $1" \
	" AND type = 'receive_supply' GROUP BY reason) m ON m.reason = 'supply ' || s.supply_id" \
	" WHERE s.tenant_id = $1 AND s.received <> coalesce(m.units, 0)" \
	" UNION ALL SELECT 'supply.limit', u.item_id || ' at ' || u.location_id, 'at least ' || u.units," \
	" coalesce(s.backorder_limit, 0)::text FROM (SELECT item_id, location_id, sum(quantity - received - cancelled) AS units" \
	" FROM {supplies} WHERE tenant_id = $1 AND promisable AND status IN ('expected', 'partially_received')" \
	" GROUP BY item_id, location_id) u LEFT JOIN {stock} s ON s.tenant_id = $1 AND s.item_id = u.item_id" \
	" AND s.location_id = u.location_id WHERE u.units > coalesce(s.backorder_limit, 0)" \
	" UNION ALL SELECT 'supply.status', s.supply_id::text, e.status, s.status FROM {supplies} s CROSS JOIN LATERAL" \
	" (SELECT CASE WHEN s.quantity > s.received + s.cancelled THEN CASE WHEN s.received > 0 THEN 'partially_received'" \
	" ELSE 'expected' END WHEN s.cancelled > 0 THEN 'cancelled' ELSE 'received' END AS status) e" \
	" WHERE s.tenant_id = $1 AND s.status <> e.status" \
	" UNION ALL SELECT 'promise.dated', item_id || ' at ' || location_id || ' for ' || supplied_at, coalesce(a.units, 0)::text," \
	" coalesce(d.units, 0)::text FROM (SELECT item_id, location_id, supplied_at, sum(units) AS units FROM {dated_promises}" \
	" WHERE tenant_id = $1 GROUP BY item_id, location_id, supplied_at) d FULL JOIN" \
	" (SELECT a.item_id, a.location_id, coalesce(f.supplied_at, 'infinity') AS supplied_at," \
	" sum(a.promised - a.shipped - a.cancelled) AS units FROM {allocations} a JOIN {fulfillments} f" \
	" ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1 WHERE a.tenant_id = $1 AND f.backordered" \
	" GROUP BY a.item_id, a.location_id, coalesce(f.supplied_at, 'infinity')) a USING (item_id, location_id, supplied_at)" \
	" WHERE coalesce(a.units, 0) <> coalesce(d.units, 0)"

/* What transfers have left, lost and delivered is what their supplies say, and what is set aside and in transit for them. */
#define TRANSFER_PARTS \
	" UNION ALL SELECT 'transfer.supply', t.transfer_id::text, concat_ws(', ', t.shipped, t.received, t.lost)," \
	" concat_ws(', ', s.quantity, s.received, s.cancelled) FROM {transfers} t" \
	" LEFT JOIN {supplies} s ON s.supply_id = t.supply_id AND s.tenant_id = $1 WHERE t.tenant_id = $1" \
	" AND (t.shipped, t.received, t.lost) IS DISTINCT FROM (coalesce(s.quantity, 0), coalesce(s.received, 0), coalesce(s.cancelled, 0))" \
	" UNION ALL SELECT 'transfer.status', t.transfer_id::text, e.status, t.status FROM {transfers} t CROSS JOIN LATERAL" \
	" (SELECT CASE WHEN t.shipped > t.received + t.lost THEN CASE WHEN t.received > 0 THEN 'partially_received' ELSE 'shipped' END" \
	" WHEN t.shipped > 0 THEN 'received' WHEN t.status = 'cancelled' THEN t.status ELSE 'requested' END AS status) e" \
	" WHERE t.tenant_id = $1 AND t.status <> e.status" \
	" UNION ALL SELECT 'transfer.' || u.state, u.item_id || ' at ' || u.location_id, 'at least ' || u.units," \
	" coalesce(s.quantity, 0)::text FROM (SELECT item_id, location_id, state, sum(units) AS units FROM (" \
	"SELECT item_id, from_location_id, 'set_aside', quantity::bigint FROM {transfers} WHERE tenant_id = $1" \
	" AND status = 'requested' UNION ALL SELECT item_id, to_location_id, 'in_transit', (shipped - received - lost)::bigint" \
	" FROM {transfers} WHERE tenant_id = $1 AND status IN ('shipped', 'partially_received')" \
	") o(item_id, location_id, state, units) GROUP BY item_id, location_id, state) u" \
	" LEFT JOIN {stock_states} s ON s.tenant_id = $1 AND s.item_id = u.item_id AND s.location_id = u.location_id" \
	" AND s.state = u.state WHERE u.units > coalesce(s.quantity, 0)"

#define LINE_PARTS \
	" UNION ALL SELECT 'line.units', l.order_id || ' line ' || l.line_no, l.ordered::text," \
	" (l.allocated + l.backordered + l.cancelled)::text" \
	" FROM {order_lines} l JOIN {orders} o ON o.order_id = l.order_id AND o.tenant_id = $1" \
	" WHERE l.tenant_id = $1 AND o.status <> 'draft' AND l.ordered <> l.allocated + l.backordered + l.cancelled" \
	" UNION ALL SELECT 'line.allocated', l.order_id || ' line ' || l.line_no, coalesce(a.firm, 0)::text, l.allocated::text" \
	" FROM {order_lines} l LEFT JOIN (SELECT a.order_id, a.line_no," \
	" sum(a.promised - a.cancelled) FILTER (WHERE NOT f.backordered) AS firm FROM {allocations} a" \
	" JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1 WHERE a.tenant_id = $1" \
	" GROUP BY a.order_id, a.line_no) a USING (order_id, line_no)" \
	" WHERE l.tenant_id = $1 AND l.allocated <> coalesce(a.firm, 0)" \
	" UNION ALL SELECT 'line.shipped', l.order_id || ' line ' || l.line_no, coalesce(a.shipped, 0)::text, l.shipped::text" \
	" FROM {order_lines} l LEFT JOIN (SELECT order_id, line_no, sum(shipped) AS shipped FROM {allocations}" \
	" WHERE tenant_id = $1 GROUP BY order_id, line_no) a USING (order_id, line_no)" \
	" WHERE l.tenant_id = $1 AND l.shipped <> coalesce(a.shipped, 0)" \
	" UNION ALL SELECT 'line.released', l.order_id || ' line ' || l.line_no, coalesce(a.released, 0)::text, l.released::text" \
	" FROM {order_lines} l LEFT JOIN (SELECT a.order_id, a.line_no, sum(a.promised - a.cancelled)" \
	" FILTER (WHERE f.status NOT IN ('planned', 'rejected', 'cancelled')) AS released FROM {allocations} a" \
	" JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1 WHERE a.tenant_id = $1" \
	" GROUP BY a.order_id, a.line_no) a USING (order_id, line_no)" \
	" WHERE l.tenant_id = $1 AND l.released <> coalesce(a.released, 0)" \
	" UNION ALL SELECT 'line.delivered', l.order_id || ' line ' || l.line_no, coalesce(a.delivered, 0)::text, l.delivered::text" \
	" FROM {order_lines} l LEFT JOIN (SELECT a.order_id, a.line_no, sum(a.shipped)" \
	" FILTER (WHERE f.status IN ('delivered', 'picked_up')) AS delivered FROM {allocations} a" \
	" JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1 WHERE a.tenant_id = $1" \
	" GROUP BY a.order_id, a.line_no) a USING (order_id, line_no)" \
	" WHERE l.tenant_id = $1 AND l.delivered <> coalesce(a.delivered, 0)"

/* An order was overtaken as often as its events say, and has lost what they say to orders that tell the same. */
#define BACKORDER_PARTS \
	" UNION ALL SELECT 'order.overtaken', o.order_id::text, coalesce(e.runs, 0)::text, coalesce(o.overtaken, 0)::text FROM {orders} o" \
	" LEFT JOIN (SELECT order_id, count(*) AS runs FROM {events} WHERE tenant_id = $1 AND type = 'order.overtaken' GROUP BY order_id) e" \
	" USING (order_id) WHERE o.tenant_id = $1 AND coalesce(o.overtaken, 0) <> coalesce(e.runs, 0)" \
	" UNION ALL SELECT 'order.displaced', coalesce(e.order_id, m.order_id)::text, coalesce(m.units, 0)::text, coalesce(e.units, 0)::text" \
	" FROM (SELECT e.order_id, sum((l -> 'quantity')::int) AS units FROM {events} e CROSS JOIN LATERAL jsonb_array_elements(e.data -> 'lines') l" \
	" WHERE e.tenant_id = $1 AND e.type = 'order.displaced' GROUP BY e.order_id) e FULL JOIN (SELECT order_id, -sum(reserved_delta) AS units" \
	" FROM {stock_movements} WHERE tenant_id = $1 AND type = 'cancel' AND reason = 'displaced' GROUP BY order_id) m USING (order_id)" \
	" WHERE coalesce(e.units, 0) <> coalesce(m.units, 0)" \
	" UNION ALL SELECT 'order.displaced_by', e.order_id::text, e.data ->> 'by_order_id', 'none' FROM {events} e WHERE e.tenant_id = $1" \
	" AND e.type = 'order.displaced' AND NOT EXISTS (SELECT FROM {events} x WHERE x.order_id = (e.data -> 'by_order_id')::bigint" \
	" AND x.tenant_id = $1 AND x.type = 'order.displaced_others')"

#define ORPHAN_PARTS \
	" UNION ALL SELECT 'orphan.line', l.order_id || ' line ' || l.line_no, 'an order', 'none' FROM {order_lines} l" \
	" WHERE l.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = l.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.delivery', d.order_id || ' delivery ' || d.delivery_no, 'an order', 'none' FROM {order_deliveries} d" \
	" WHERE d.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = d.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.adjustment', a.order_id || ' adjustment ' || a.adjustment_no, 'an order', 'none' FROM {order_adjustments} a" \
	" WHERE a.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = a.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.fulfillment', f.fulfillment_id::text, 'an order', 'none' FROM {fulfillments} f" \
	" WHERE f.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = f.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.allocation', a.order_id || ' line ' || a.line_no, 'a line and a fulfillment', 'none'" \
	" FROM {allocations} a WHERE a.tenant_id = $1 AND (NOT EXISTS (SELECT FROM {order_lines} l" \
	" WHERE l.order_id = a.order_id AND l.line_no = a.line_no AND l.tenant_id = $1) OR NOT EXISTS (SELECT FROM" \
	" {fulfillments} f WHERE f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1 AND f.order_id = a.order_id))" \
	" UNION ALL SELECT 'orphan.version', v.order_id || ' version ' || v.version, 'an order of a later version', 'none'" \
	" FROM {order_versions} v WHERE v.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = v.order_id" \
	" AND o.tenant_id = $1 AND o.version > v.version)" \
	" UNION ALL SELECT 'orphan.payment', p.payment_id::text, 'an order', 'none' FROM {payments} p" \
	" WHERE p.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = p.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'order.event', o.order_id::text, 'order.placed', 'none' FROM {orders} o" \
	" WHERE o.tenant_id = $1 AND o.status <> 'draft' AND NOT EXISTS (SELECT FROM {events} e" \
	" WHERE e.order_id = o.order_id AND e.tenant_id = $1 AND (e.type = 'order.placed'" \
	" OR (o.status = 'cancelled' AND e.type = 'order.drafted')))" \
	" UNION ALL SELECT 'order.lines', o.order_id::text, 'at least one', 'none' FROM {orders} o" \
	" WHERE o.tenant_id = $1 AND o.status <> 'draft' AND NOT EXISTS (SELECT FROM {order_lines} l" \
	" WHERE l.order_id = o.order_id AND l.tenant_id = $1)"

/* The published tables of conditions, once more and in other words than order.c and payment.c. */
#define STATUS_PARTS \
	" UNION ALL SELECT 'order.fulfillment_status', o.order_id::text, s.status, o.fulfillment_status" \
	" FROM {orders} o JOIN (SELECT order_id, CASE WHEN w = 0 THEN 'unallocated' WHEN r > 0 AND r + g >= w THEN 'returned'" \
	" WHEN d + n >= w THEN 'delivered' WHEN d > 0 THEN 'partially_delivered' WHEN sh >= w THEN 'shipped'" \
	" WHEN sh > 0 THEN 'partially_shipped' WHEN rel > 0 THEN 'released' WHEN b > 0 THEN 'backordered'" \
	" WHEN al >= w THEN 'allocated' ELSE 'unallocated' END AS status FROM (SELECT order_id," \
	" sum(ordered - cancelled) AS w, sum(returned) AS r, sum(delivered) AS d, sum(shipped) AS sh," \
	" sum(released) AS rel, sum(backordered) AS b, sum(allocated) AS al," \
	" sum(written_off + replaced) AS g, sum(least(written_off + replaced, shipped - delivered)) AS n" \
	" FROM {order_lines} WHERE tenant_id = $1 GROUP BY order_id) q) s USING (order_id)" \
	" WHERE o.tenant_id = $1 AND o.fulfillment_status <> s.status" \
	" UNION ALL SELECT 'order.payment_status', o.order_id::text, p.status, o.payment_status" \
	" FROM {orders} o CROSS JOIN LATERAL (SELECT CASE WHEN c - r > t THEN 'overpaid'" \
	" WHEN r > 0 AND c - r <= 0 THEN 'refunded' WHEN r > 0 THEN 'partially_refunded' WHEN c >= t THEN 'paid'" \
	" WHEN c > 0 THEN 'partially_paid' WHEN a >= t THEN 'authorized' ELSE 'unpaid' END AS status" \
	" FROM (SELECT coalesce(sum(b.authorized), 0) AS a, coalesce(sum(b.captured), 0) AS c, coalesce(sum(b.refunded), 0) AS r," \
	" greatest(o.total - coalesce((SELECT sum(g.amount) FROM {refunds} g WHERE g.order_id = o.order_id AND g.tenant_id = $1" \
	" AND g.status <> 'revoked'), 0), 0) AS t" \
	" FROM {payment_balances} b WHERE b.order_id = o.order_id AND b.tenant_id = $1) y) p" \
	" WHERE o.tenant_id = $1 AND o.payment_status <> p.status" \
	" UNION ALL SELECT 'order.total', o.order_id::text," \
	" (o.item_total - o.discount_total + o.shipping_total + o.fee_total)::text || ' and taxes', o.total::text" \
	" FROM {orders} o WHERE o.tenant_id = $1 AND (o.total < o.item_total - o.discount_total + o.shipping_total + o.fee_total" \
	" OR o.total > o.item_total - o.discount_total + o.shipping_total + o.fee_total + o.tax_total)" \
	" UNION ALL SELECT 'order.item_total', o.order_id::text, l.items::text, o.item_total::text FROM {orders} o" \
	" JOIN (SELECT order_id, sum(CASE WHEN cancelled = 0 THEN amount ELSE NULL END) AS items," \
	" bool_or(cancelled > 0) AS changed FROM {order_lines} WHERE tenant_id = $1 GROUP BY order_id) l USING (order_id)" \
	" WHERE o.tenant_id = $1 AND NOT l.changed AND o.item_total <> l.items"

/* Payments are what their events say; commands and refunds stay within them. */
#define PAYMENT_PARTS \
	" UNION ALL SELECT 'payment.status', p.payment_id::text, b.status, p.status FROM {payments} p" \
	" JOIN {payment_balances} b ON b.payment_id = p.payment_id AND b.tenant_id = $1" \
	" WHERE p.tenant_id = $1 AND p.status <> b.status" \
	" UNION ALL SELECT 'payment.refunded', b.payment_id::text, 'at most ' || greatest(b.captured, b.granted)," \
	" (b.refunded + b.unmatched - greatest(b.charged_back, 0))::text FROM {payment_balances} b WHERE b.tenant_id = $1 AND b.granted > 0" \
	" AND b.refunded + b.unmatched - greatest(b.charged_back, 0) > greatest(b.captured, b.granted)" \
	" UNION ALL SELECT 'payment.command', k.command_id::text, CASE WHEN k.answered >= k.amount THEN 'done' ELSE 'open or failed' END," \
	" k.status FROM {payment_commands} k WHERE k.tenant_id = $1 AND ((k.status = 'done') <> (k.answered >= k.amount)" \
	" OR NOT EXISTS (SELECT FROM {payments} p WHERE p.payment_id = k.payment_id AND p.order_id = k.order_id AND p.tenant_id = $1))" \
	" UNION ALL SELECT 'orphan.payment_event', e.payment_id || ' ' || e.type || ' ' || e.reference, 'a payment of order ' || e.order_id, 'none'" \
	" FROM {payment_events} e WHERE e.tenant_id = $1 AND NOT EXISTS (SELECT FROM {payments} p" \
	" WHERE p.payment_id = e.payment_id AND p.order_id = e.order_id AND p.tenant_id = $1)"

/* The entries of a credit account add up to it, and to what its payments say. */
#define CREDIT_PARTS \
	" UNION ALL SELECT 'credit.balance', c.account_id::text, coalesce(e.balance, 0)::text, c.balance::text FROM {credit_accounts} c" \
	" LEFT JOIN (SELECT account_id, sum(balance_change) AS balance FROM {credit_entries} WHERE tenant_id = $1 GROUP BY account_id) e" \
	" ON e.account_id = c.account_id WHERE c.tenant_id = $1 AND c.balance <> coalesce(e.balance, 0)" \
	" UNION ALL SELECT 'credit.held', c.account_id::text, coalesce(e.held, 0)::text, c.held::text FROM {credit_accounts} c" \
	" LEFT JOIN (SELECT account_id, sum(held_change) AS held FROM {credit_entries} WHERE tenant_id = $1 GROUP BY account_id) e" \
	" ON e.account_id = c.account_id WHERE c.tenant_id = $1 AND c.held <> coalesce(e.held, 0)" \
	" UNION ALL SELECT 'credit.payment', b.payment_id::text, 'held ' || b.authorized::text || ', taken ' || (b.captured - b.refunded + b.transferred)::text," \
	" 'held ' || coalesce(e.held, 0)::text || ', taken ' || coalesce(e.taken, 0)::text FROM {payment_balances} b LEFT JOIN (" \
	"SELECT payment_id, account_id, sum(held_change) AS held, -sum(balance_change) AS taken FROM {credit_entries}" \
	" WHERE tenant_id = $1 AND payment_id IS NOT NULL GROUP BY payment_id, account_id) e" \
	" ON e.payment_id = b.payment_id AND e.account_id = b.account_id WHERE b.tenant_id = $1 AND b.account_id IS NOT NULL" \
	" AND (b.authorized <> coalesce(e.held, 0) OR b.captured - b.refunded + b.transferred <> coalesce(e.taken, 0))" \
	" UNION ALL SELECT 'credit.transfer', coalesce(p.order_id, e.order_id)::text, coalesce(p.amount, 0)::text, coalesce(e.amount, 0)::text" \
	" FROM (SELECT order_id, sum(amount) AS amount FROM {payment_events} WHERE tenant_id = $1 AND type = 'transfer' GROUP BY order_id) p" \
	" FULL JOIN (SELECT order_id, sum(balance_change) AS amount FROM {credit_entries} WHERE tenant_id = $1 AND type = 'transfer'" \
	" GROUP BY order_id) e ON e.order_id = p.order_id WHERE coalesce(p.amount, 0) <> coalesce(e.amount, 0)" \
	" UNION ALL SELECT 'orphan.credit_entry', e.entry_id::text, 'an account and its payment', 'none' FROM {credit_entries} e" \
	" WHERE e.tenant_id = $1 AND (NOT EXISTS (SELECT FROM {credit_accounts} c WHERE c.account_id = e.account_id AND c.tenant_id = $1)" \
	" OR (e.payment_id IS NOT NULL AND NOT EXISTS (SELECT FROM {payments} p WHERE p.payment_id = e.payment_id" \
	" AND p.account_id = e.account_id AND p.order_id = e.order_id AND p.tenant_id = $1)))"

/* The recorded plan is what the router finds, and is what was promised first. */
#define ROUTING_PARTS \
	" UNION ALL SELECT 'routing.replay', d.order_id::text, 'the recorded plan', 'another plan'" \
	" FROM {routing_decisions} d WHERE d.tenant_id = $1 AND NOT oms.route_replays(d.record)" \
	" UNION ALL SELECT 'orphan.routing_decision', d.order_id::text, 'an order', 'none' FROM {routing_decisions} d" \
	" WHERE d.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = d.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'routing.policy', a.code || ' version ' || a.version, 'one active policy at a time'," \
	" b.code || ' version ' || b.version || ' too' FROM {routing_policy_versions} a JOIN {routing_policy_versions} b" \
	" ON b.tenant_id = $1 AND b.policy_id > a.policy_id AND (b.channel_id, b.service, b.customer_class, b.item_group, b.country," \
	" b.postal_prefix) IS NOT DISTINCT FROM (a.channel_id, a.service, a.customer_class, a.item_group, a.country, a.postal_prefix)" \
	" AND tstzrange(b.active_from, b.active_until) && tstzrange(a.active_from, a.active_until)" \
	" WHERE a.tenant_id = $1 AND a.active_from IS NOT NULL AND b.active_from IS NOT NULL"

/* Holds stand on something, are counted at their order, and came and went with events. */
#define HOLD_PARTS \
	" UNION ALL SELECT 'order.holds', o.order_id::text, coalesce(h.units, 0)::text, coalesce(o.holds, 0)::text" \
	" FROM {orders} o LEFT JOIN (SELECT order_id, count(*) AS units FROM {holds}" \
	" WHERE tenant_id = $1 AND released_at IS NULL GROUP BY order_id) h USING (order_id)" \
	" WHERE o.tenant_id = $1 AND coalesce(o.holds, 0) <> coalesce(h.units, 0)" \
	" UNION ALL SELECT 'orphan.hold', h.hold_id::text, 'an order, line or fulfillment', 'none' FROM {holds} h" \
	" WHERE h.tenant_id = $1 AND (NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = h.order_id AND o.tenant_id = $1)" \
	" OR (h.line_no IS NOT NULL AND NOT EXISTS (SELECT FROM {order_lines} l WHERE l.order_id = h.order_id" \
	" AND l.line_no = h.line_no AND l.tenant_id = $1))" \
	" OR (h.fulfillment_id IS NOT NULL AND NOT EXISTS (SELECT FROM {fulfillments} f" \
	" WHERE f.fulfillment_id = h.fulfillment_id AND f.order_id = h.order_id AND f.tenant_id = $1)))" \
	" UNION ALL SELECT 'hold.event', h.hold_id::text, t.type, 'none' FROM {holds} h" \
	" CROSS JOIN (VALUES ('hold.placed'), ('hold.released')) t(type)" \
	" WHERE h.tenant_id = $1 AND (t.type = 'hold.placed' OR h.released_at IS NOT NULL) AND NOT EXISTS (SELECT FROM {events} e" \
	" WHERE e.order_id = h.order_id AND e.tenant_id = $1 AND e.object_id = h.hold_id AND e.type = t.type)" \
	" UNION ALL SELECT 'hold.released_at', h.hold_id::text, 'not before ' || h.placed_at, h.released_at::text FROM {holds} h" \
	" WHERE h.tenant_id = $1 AND h.released_at < h.placed_at" \
	" UNION ALL SELECT 'answer.command', a.command_event_id::text, a.type, coalesce(e.type, 'none') FROM {answers} a" \
	" LEFT JOIN {events} e ON e.event_id = a.command_event_id AND e.tenant_id = $1" \
	" WHERE a.tenant_id = $1 AND (e.type IS DISTINCT FROM a.type OR e.order_id IS DISTINCT FROM a.order_id)" \
	" UNION ALL SELECT 'order.draft', coalesce(o.order_id, d.order_id)::text, coalesce(o.status, 'no order')," \
	" CASE WHEN d.order_id IS NULL THEN 'no document' ELSE 'a document' END" \
	" FROM (SELECT * FROM {order_drafts} WHERE tenant_id = $1) d FULL JOIN" \
	" (SELECT order_id, status FROM {orders} WHERE tenant_id = $1) o ON o.order_id = d.order_id" \
	" WHERE (d.order_id IS NOT NULL) <> (o.status IS NOT DISTINCT FROM 'draft')" \
	" UNION ALL SELECT 'orphan.kit', k.order_id || ' kit ' || k.kit_no, 'an order with its lines', 'none' FROM {order_kits} k" \
	" WHERE k.tenant_id = $1 AND (NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = k.order_id AND o.tenant_id = $1)" \
	" OR NOT EXISTS (SELECT FROM {order_kit_lines} x WHERE x.order_id = k.order_id AND x.kit_no = k.kit_no AND x.tenant_id = $1))" \
	" UNION ALL SELECT 'orphan.substitute', s.order_id || ' line ' || s.line_no, 'a line of the order', 'none' FROM {order_substitutes} s" \
	" WHERE s.tenant_id = $1 AND NOT EXISTS (SELECT FROM {order_lines} l WHERE l.order_id = s.order_id AND l.line_no = s.line_no AND l.tenant_id = $1)" \
	" UNION ALL SELECT 'divided_line', l.order_id || ' line ' || l.line_no, 'a line before it that is no part', l.divided_from::text" \
	" FROM {order_lines} l WHERE l.tenant_id = $1 AND l.divided_from IS NOT NULL AND NOT EXISTS (SELECT FROM {order_lines} w" \
	" WHERE w.order_id = l.order_id AND w.line_no = l.divided_from AND w.tenant_id = $1 AND w.line_no < l.line_no AND w.divided_from IS NULL)" \
	" UNION ALL SELECT 'divided_kit', k.order_id || ' kit ' || k.kit_no, 'a kit before it that is no part', k.divided_from::text" \
	" FROM {order_kits} k WHERE k.tenant_id = $1 AND k.divided_from IS NOT NULL AND NOT EXISTS (SELECT FROM {order_kits} w" \
	" WHERE w.order_id = k.order_id AND w.kit_no = k.divided_from AND w.tenant_id = $1 AND w.kit_no < k.kit_no AND w.divided_from IS NULL)" \
	" UNION ALL SELECT 'orphan.kit_line', x.order_id || ' line ' || x.line_no, 'a line of the order', 'none' FROM {order_kit_lines} x" \
	" WHERE x.tenant_id = $1 AND NOT EXISTS (SELECT FROM {order_lines} l WHERE l.order_id = x.order_id AND l.line_no = x.line_no" \
	" AND l.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.deadline', d.order_id || ' ' || d.kind, 'an order', 'none' FROM {order_deadlines} d" \
	" WHERE d.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = d.order_id AND o.tenant_id = $1)"

/* Refunds belong to orders, were granted with an event, and are executed in the order of granting. */
#define REFUND_PARTS \
	" UNION ALL SELECT 'refund.status', r.refund_id::text, CASE WHEN r.until <= r.paid THEN 'executed'" \
	" WHEN r.until - r.amount < r.paid THEN 'partially_executed' WHEN r.until - r.amount < r.asked THEN 'requested'" \
	" ELSE 'granted' END, r.status FROM (SELECT r.*, sum(r.amount) OVER (PARTITION BY r.order_id ORDER BY r.refund_id) AS until," \
	" b.paid, b.asked FROM {refunds} r CROSS JOIN LATERAL (SELECT coalesce(sum(refunded), 0) AS paid," \
	" coalesce(sum(refunded + refunding), 0) AS asked FROM {payment_balances} WHERE order_id = r.order_id AND tenant_id = $1) b" \
	" WHERE r.tenant_id = $1 AND r.status <> 'revoked') r WHERE r.status <> CASE WHEN r.until <= r.paid THEN 'executed'" \
	" WHEN r.until - r.amount < r.paid THEN 'partially_executed' WHEN r.until - r.amount < r.asked THEN 'requested'" \
	" ELSE 'granted' END" \
	" UNION ALL SELECT 'orphan.refund', r.refund_id::text, 'an order', 'none' FROM {refunds} r" \
	" WHERE r.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = r.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'refund.granted', r.refund_id::text, coalesce(e.amount, 'none'), r.amount::text FROM {refunds} r" \
	" LEFT JOIN (SELECT object_id, order_id, max(data ->> 'amount') AS amount FROM {events} WHERE tenant_id = $1" \
	" AND type = 'refund.granted' AND object_type = 'refund' AND action = 'grant' GROUP BY object_id, order_id) e" \
	" ON e.object_id = r.refund_id AND e.order_id = r.order_id" \
	" WHERE r.tenant_id = $1 AND e.amount::numeric IS DISTINCT FROM r.amount" \
	" UNION ALL SELECT 'refund.missing', e.object_id::text, e.data ->> 'amount', 'none' FROM {events} e" \
	" WHERE e.tenant_id = $1 AND e.type = 'refund.granted' AND e.action = 'grant' AND NOT EXISTS (SELECT FROM {refunds} r" \
	" WHERE r.refund_id = e.object_id AND r.tenant_id = $1)"

/* Units of lines, of returns and of the ledger of what arrived are the same. */
#define RETURN_PARTS \
	" UNION ALL SELECT 'line.return_requested', l.order_id || ' line ' || l.line_no, coalesce(r.units, 0)::text," \
	" l.return_requested::text FROM {order_lines} l LEFT JOIN (SELECT x.order_id, x.line_no, sum(x.requested - x.received) AS units" \
	" FROM {return_lines} x JOIN {returns} r ON r.return_id = x.return_id AND r.tenant_id = $1 WHERE x.tenant_id = $1" \
	" AND r.status NOT IN ('closed', 'rejected', 'cancelled') GROUP BY x.order_id, x.line_no) r USING (order_id, line_no)" \
	" WHERE l.tenant_id = $1 AND l.return_requested <> coalesce(r.units, 0)" \
	" UNION ALL SELECT 'line.' || s.stage, l.order_id || ' line ' || l.line_no, coalesce(r.units, 0)::text, s.units::text" \
	" FROM {order_lines} l CROSS JOIN LATERAL (VALUES ('returned', l.returned), ('written_off', l.written_off)," \
	" ('replaced', l.replaced)) s(stage, units) LEFT JOIN (SELECT t.order_id, t.line_no, x.stage, sum(t.quantity) AS units" \
	" FROM {return_receipts} t JOIN {returns} x ON x.return_id = t.return_id AND x.tenant_id = $1 WHERE t.tenant_id = $1" \
	" GROUP BY t.order_id, t.line_no, x.stage) r ON r.order_id = l.order_id AND r.line_no = l.line_no AND r.stage = s.stage" \
	" WHERE l.tenant_id = $1 AND s.units <> coalesce(r.units, 0)" \
	" UNION ALL SELECT 'return.received', x.return_id || ' line ' || x.line_no, coalesce(r.units, 0)::text, x.received::text" \
	" FROM {return_lines} x LEFT JOIN (SELECT return_id, line_no, sum(quantity) AS units FROM {return_receipts}" \
	" WHERE tenant_id = $1 GROUP BY return_id, line_no) r USING (return_id, line_no)" \
	" WHERE x.tenant_id = $1 AND x.received <> coalesce(r.units, 0)" \
	" UNION ALL SELECT 'return.status', r.return_id::text, CASE WHEN x.units > 0 THEN 'received or closed'" \
	" ELSE 'neither received nor closed' END, r.status FROM {returns} r LEFT JOIN (SELECT return_id, sum(received) AS units" \
	" FROM {return_lines} WHERE tenant_id = $1 GROUP BY return_id) x USING (return_id)" \
	" WHERE r.tenant_id = $1 AND (r.status IN ('received', 'closed')) <> (coalesce(x.units, 0) > 0)" \
	" AND r.status IN ('requested', 'approved', 'in_transit', 'received', 'closed', 'rejected', 'cancelled')" \
	" UNION ALL SELECT 'return.stock', coalesce(r.item_id, m.item_id) || ' at ' || coalesce(r.location_id, m.location_id)" \
	" || ' of order ' || coalesce(r.order_id, m.order_id) || ': ' || coalesce(r.disposition, m.disposition)," \
	" coalesce(r.units, 0)::text, coalesce(m.units, 0)::text" \
	" FROM (SELECT item_id, location_id, order_id, disposition, sum(quantity) AS units FROM {return_receipts}" \
	" WHERE tenant_id = $1 AND disposition NOT IN ('scrap', 'kept') GROUP BY item_id, location_id, order_id, disposition) r" \
	" FULL JOIN (SELECT item_id, location_id, order_id, coalesce(state, 'restock') AS disposition," \
	" sum(CASE WHEN state IS NULL THEN on_hand_delta ELSE state_delta END) AS units FROM {stock_movements}" \
	" WHERE tenant_id = $1 AND type = 'return' AND order_id IS NOT NULL" \
	" GROUP BY item_id, location_id, order_id, coalesce(state, 'restock')) m" \
	" ON m.item_id = r.item_id AND m.location_id = r.location_id AND m.order_id = r.order_id" \
	" AND m.disposition = r.disposition" \
	" WHERE coalesce(r.units, 0) <> coalesce(m.units, 0)" \
	" UNION ALL SELECT 'return.refunded', r.return_id::text, coalesce(g.amount, 0)::text, r.refunded::text FROM {returns} r" \
	" LEFT JOIN (SELECT return_id, order_id, coalesce(sum(amount) FILTER (WHERE status <> 'revoked'), 0) AS amount," \
	" sum(amount) AS ever FROM {refunds} WHERE tenant_id = $1 AND return_id IS NOT NULL GROUP BY return_id, order_id) g" \
	" USING (return_id, order_id)" \
	" WHERE r.tenant_id = $1 AND r.refunded NOT BETWEEN coalesce(g.amount, 0) AND coalesce(g.ever, 0)" \
	" UNION ALL SELECT 'orphan.refund', g.refund_id::text, 'a return of the order', 'none' FROM {refunds} g" \
	" WHERE g.tenant_id = $1 AND g.return_id IS NOT NULL AND NOT EXISTS (SELECT FROM {returns} r" \
	" WHERE r.return_id = g.return_id AND r.order_id = g.order_id AND r.tenant_id = $1)" \
	" UNION ALL SELECT 'return.worth', r.return_id::text, coalesce(v.data, '{}')::text, w.data::text FROM {returns} r" \
	" CROSS JOIN LATERAL (SELECT jsonb_build_object('items', r.items, 'discount', r.discount, 'tax', r.tax," \
	" 'included_tax', r.included_tax, 'charges', r.charges, 'fee', r.fee, 'granted', r.refunded," \
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', x.line_no, 'quantity', x.credited, 'refund', x.refund)" \
	" ORDER BY x.line_no) FROM {return_lines} x WHERE x.return_id = r.return_id AND x.tenant_id = $1)) AS data) w" \
	" LEFT JOIN LATERAL (SELECT e.data - 'currency' - 'derived' - 'ledger' - 'returning' AS data FROM {events} e WHERE e.order_id = r.order_id AND e.tenant_id = $1" \
	" AND e.object_id = r.return_id AND e.type = 'return.valued' ORDER BY e.event_id DESC LIMIT 1) v ON true" \
	" WHERE r.tenant_id = $1 AND NOT coalesce(v.data ? 'truncated', false) AND CASE WHEN v.data IS NOT NULL THEN v.data <> w.data" \
	" ELSE greatest(abs(r.items), abs(r.discount), abs(r.tax), abs(r.charges), abs(r.fee), abs(r.refunded)) > 0" \
	" OR EXISTS (SELECT FROM {return_lines} x WHERE x.return_id = r.return_id AND x.tenant_id = $1" \
	" AND (x.credited <> 0 OR x.refund <> 0)) END" \
	" UNION ALL SELECT 'return.credited', x.return_id || ' line ' || x.line_no, x.received::text, x.credited::text" \
	" FROM {return_lines} x JOIN {returns} r ON r.return_id = x.return_id AND r.tenant_id = $1 WHERE x.tenant_id = $1" \
	" AND x.credited <> x.received AND NOT (r.refund_on = 'approval' AND x.credited = x.requested" \
	" AND r.status NOT IN ('closed', 'rejected', 'cancelled'))" \
	" UNION ALL SELECT 'orphan.return', r.return_id::text, 'an order', 'none' FROM {returns} r" \
	" WHERE r.tenant_id = $1 AND NOT EXISTS (SELECT FROM {orders} o WHERE o.order_id = r.order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.exchange', r.return_id::text, 'the order that it is exchanged for', 'none' FROM {returns} r" \
	" WHERE r.tenant_id = $1 AND r.exchange_order_id IS NOT NULL AND NOT EXISTS (SELECT FROM {orders} o" \
	" WHERE o.order_id = r.exchange_order_id AND o.tenant_id = $1)" \
	" UNION ALL SELECT 'return.lines', r.return_id::text, 'at least one', 'none' FROM {returns} r" \
	" WHERE r.tenant_id = $1 AND NOT EXISTS (SELECT FROM {return_lines} x WHERE x.return_id = r.return_id AND x.tenant_id = $1)" \
	" UNION ALL SELECT 'orphan.return_line', x.return_id || ' line ' || x.line_no, 'a return and an order line', 'none'" \
	" FROM {return_lines} x WHERE x.tenant_id = $1 AND (NOT EXISTS (SELECT FROM {returns} r WHERE r.return_id = x.return_id" \
	" AND r.order_id = x.order_id AND r.tenant_id = $1) OR NOT EXISTS (SELECT FROM {order_lines} l" \
	" WHERE l.order_id = x.order_id AND l.line_no = x.line_no AND l.item_id = x.item_id AND l.tenant_id = $1))" \
	" UNION ALL SELECT 'orphan.return_receipt', t.receipt_id::text, 'a line of a return', 'none' FROM {return_receipts} t" \
	" WHERE t.tenant_id = $1 AND NOT EXISTS (SELECT FROM {return_lines} x WHERE x.return_id = t.return_id" \
	" AND x.line_no = t.line_no AND x.order_id = t.order_id AND x.item_id = t.item_id AND x.tenant_id = $1)" \
	" UNION ALL SELECT 'return.room', coalesce(c.location_id, r.location_id) || ' on ' || coalesce(c.day, r.room_day)," \
	" coalesce(r.units, 0)::text, coalesce(c.used, 0)::text FROM (SELECT location_id, day, used FROM {return_room}" \
	" WHERE tenant_id = $1) c FULL JOIN (SELECT location_id, room_day, sum(room_taken) AS units FROM {returns}" \
	" WHERE tenant_id = $1 AND room_taken > 0 GROUP BY location_id, room_day) r" \
	" ON r.location_id = c.location_id AND r.room_day = c.day WHERE coalesce(c.used, 0) <> coalesce(r.units, 0)" \
	" UNION ALL SELECT 'return.event', r.return_id::text, 'return.requested', 'none' FROM {returns} r" \
	" WHERE r.tenant_id = $1 AND NOT EXISTS (SELECT FROM {events} e WHERE e.order_id = r.order_id AND e.tenant_id = $1" \
	" AND e.object_id = r.return_id AND e.type = 'return.requested')"

#define CAPACITY_PARTS \
	" UNION ALL SELECT 'capacity.used', coalesce(c.location_id, f.location_id) || ' on ' || coalesce(c.day, f.ship_day)," \
	" coalesce(f.taken, 0)::text, coalesce(c.used, 0)::text FROM (SELECT location_id, day, used FROM {location_capacity}" \
	" WHERE tenant_id = $1) c FULL JOIN (SELECT location_id, ship_day, sum(capacity_taken) AS taken FROM {fulfillments}" \
	" WHERE tenant_id = $1 AND capacity_taken > 0 AND status NOT IN ('cancelled', 'rejected')" \
	" GROUP BY location_id, ship_day) f ON f.location_id = c.location_id AND f.ship_day = c.day" \
	" WHERE coalesce(f.taken, 0) <> coalesce(c.used, 0)"

static OmsPlan audit_plan = {
	.sql = "SELECT * FROM ("
	STOCK_PARTS
	STATE_PARTS
	LOT_PARTS
	RESERVATION_PARTS
	QUOTA_PARTS
	QUOTA_TREE_PARTS
	LEVEL_PARTS
	SUPPLY_PARTS
	TRANSFER_PARTS
	LINE_PARTS
	BACKORDER_PARTS
	ORPHAN_PARTS
	STATUS_PARTS
	PAYMENT_PARTS
	REFUND_PARTS
	RETURN_PARTS
	CREDIT_PARTS
	ROUTING_PARTS
	CAPACITY_PARTS
	HOLD_PARTS
	") a(\"check\", object, expected, found) ORDER BY 1, 2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

/* Hands every finding to a callback. */
void
oms_audit_each(OmsRowCallback callback, void *state)
{
	Datum		values[1] = {Int32GetDatum(oms_call->tenant)};

	(void) oms_execute_each(&audit_plan, values, NULL, callback, state);
}

/*
 * oms.audit() -> setof (check, object, expected, found)
 */
OMS_FUNCTION(oms_audit, CALL_READ)
{
	Datum		values[1] = {Int32GetDatum(oms_call->tenant)};

	oms_return_rows(fcinfo, &audit_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}
