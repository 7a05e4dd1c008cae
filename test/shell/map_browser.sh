#!/bin/bash
# Looks at the maps in a real browser: each is drawn from its text alone and shows something, every letter stands inside the
# picture, and no label covers another.  test/run installs the browser; without one the test fails.
set -euo pipefail
command -v chromium >/dev/null || { echo "chromium is missing: apt-get install chromium"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

psql -qAtX -v ON_ERROR_STOP=1 >"$folder/maps" <<'SQL'
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS oms;
CALL oms.init();
-- Two towns full of stores, some far away, names with all that XML and fonts find hard.
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_build_object('code', CASE i % 5 WHEN 0 THEN 'a store with a very long name, number ' || i WHEN 1 THEN 'a<b & "c" ' || i
    WHEN 2 THEN '東京店' || i WHEN 3 THEN 'Łódź ' || i ELSE 's' || i END, 'country', 'DE', 'latitude', CASE WHEN i % 10 = 9 THEN 40 + i % 17 ELSE 50 + i % 2 * 3 + i * 0.0131 % 0.4 END,
    'longitude', CASE WHEN i % 10 = 9 THEN -5 + i % 29 ELSE 8 + i % 2 * 5 + i * 0.0173 % 0.5 END)) FROM generate_series(1, 160) i));
SELECT oms.upsert_items('[{"sku": "A", "price": 1, "weight_grams": 500}, {"sku": "B", "price": 1, "weight_grams": 700, "backorder": true}]');
SELECT oms.upsert_channels('[{"code": "web", "currency": "EUR", "backorder": true}]');
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "parcel", "zone_chart": "rings", "currency": "EUR"}]}]');
SELECT oms.load_shipping_zones('rings', (SELECT jsonb_agg(jsonb_build_object('zone', 'ring ' || i, 'distance_from', (i - 1) * 120, 'distance_to', i * 120)) FROM generate_series(1, 11) i));
SELECT oms.load_shipping_rates('parcel', (SELECT jsonb_agg(jsonb_build_object('zone', 'ring ' || i, 'to_grams', 31000, 'amount', i)) FROM generate_series(1, 11) i));
SELECT count(oms.receive_stock(code, sku, 2)) FROM oms.locations, unnest('{A,B}'::text[]) sku WHERE code <> 'default';
SELECT oms.load_postal_codes('[{"country": "DE", "postal_code": "10115", "latitude": 52.53, "longitude": 13.38}]');
SELECT oms.save_routing_policy('cheap', '{"objective": "cost"}'), oms.activate_routing_policy('cheap', 1);
SELECT count(oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', 'o' || i, 'lines', jsonb_build_array(jsonb_build_object('sku', CASE WHEN i % 2 = 0 THEN 'A' ELSE 'B' END, 'quantity', 1 + i % 5)),
    'ship_to', CASE WHEN i % 7 = 0 THEN '{"country": "DE", "postal_code": "10115"}'::jsonb ELSE jsonb_build_object('country', 'DE', 'latitude', 44 + i * 1.3 % 11, 'longitude', 0 + i * 2.9 % 19) END)))
FROM generate_series(1, 90) i;
-- One order that empties many stores, so that its labels crowd.
SELECT oms.place_order('{"channel": "web", "external_ref": "many", "lines": [{"sku": "A", "quantity": 24}], "ship_to": {"latitude": 50.2, "longitude": 8.2}}') IS NOT NULL;
CREATE DATABASE oms_map_empty;
\echo maps
SELECT regexp_replace(oms.route_map(oms.find_order('web', r)), '\n', ' ', 'g') FROM unnest('{o1,o2,o7,o60,many}'::text[]) r;
SELECT regexp_replace(oms.network_map(), '\n', ' ', 'g');
SELECT regexp_replace(oms.network_map('1990-01-01', '1990-01-02'), '\n', ' ', 'g');
\c oms_map_empty
SET client_min_messages = error;
CREATE EXTENSION oms;
CALL oms.init();
SELECT regexp_replace(oms.network_map(), '\n', ' ', 'g');
\c postgres
DROP DATABASE oms_map_empty;
SQL
sed '1,/^maps$/d' "$folder/maps" >"$folder/svgs"
[ "$(grep -c '^<svg' "$folder/svgs")" = 8 ] || { echo "not eight maps"; exit 1; }

{
	echo '<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>'
	cat "$folder/svgs"
	cat <<'HTML'
<pre id="found">not finished</pre>
<script>
const overlap = (a, b) => a.left + 0.5 < b.right && b.left + 0.5 < a.right && a.top + 0.5 < b.bottom && b.top + 0.5 < a.bottom;
const faults = [], facts = [];
async function look(svg, n) {
	const frame = svg.getBoundingClientRect();
	const texts = [...svg.querySelectorAll('text')];
	const boxes = texts.map(t => t.getBoundingClientRect());
	boxes.forEach((b, i) => {
		if (b.width <= 0 || b.height <= 0) faults.push(`map ${n}: "${texts[i].textContent}" has no size`);
		if (b.left < frame.left || b.right > frame.right || b.top < frame.top || b.bottom > frame.bottom)
			faults.push(`map ${n}: "${texts[i].textContent}" is outside`);
		for (let j = 0; j < i; j++)
			if (overlap(b, boxes[j])) faults.push(`map ${n}: "${texts[i].textContent}" covers "${texts[j].textContent}"`);
	});
	const image = new Image();
	image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(new XMLSerializer().serializeToString(svg));
	await image.decode();
	const canvas = document.createElement('canvas');
	canvas.width = 1000; canvas.height = 700;
	const context = canvas.getContext('2d');
	context.drawImage(image, 0, 0, 1000, 700);
	const colors = new Set(new Uint32Array(context.getImageData(0, 0, 1000, 700).data.buffer));
	if (colors.size < 4) faults.push(`map ${n} shows ${colors.size} colors`);
	facts.push(`map ${n}: ${texts.length} labels, ${svg.querySelectorAll('circle').length} points, ${svg.querySelectorAll('line').length} lines`);
}
(async () => {
	try {
		let n = 0;
		for (const svg of document.querySelectorAll('svg')) { svg.style.width = '1000px'; svg.style.display = 'block'; await look(svg, ++n); }
		if (n !== 8) faults.push(`${n} maps`);
	} catch (e) { faults.push('error: ' + e); }
	document.getElementById('found').textContent = '\n' + facts.join('\n') + '\n' + (faults.length ? faults.join('\n') : 'sound') + '\nend';
})();
</script></body></html>
HTML
} >"$folder/maps.html"

browse() {
	HOME=$folder timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
		--user-data-dir="$folder/profile" --virtual-time-budget=20000 "$@" "file://$folder/maps.html" 2>"$folder/browser.log"
}
browse --dump-dom >"$folder/dom" || { tail -5 "$folder/browser.log"; exit 1; }
browse --window-size=1000,6000 --screenshot="$folder/maps.png" >/dev/null || { tail -5 "$folder/browser.log"; exit 1; }
sed -n '/id="found"/,/^end/p' "$folder/dom"
grep -q '^sound$' "$folder/dom"
[ "$(stat -c %s "$folder/maps.png")" -gt 50000 ] || { echo "the screenshot is empty"; exit 1; }
[ -z "${KEEP_MAPS:-}" ] || cp "$folder/maps.png" "$folder/svgs" "$KEEP_MAPS"
