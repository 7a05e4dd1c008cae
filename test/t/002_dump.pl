# Dump and restore give the same rows and work at once; DROP EXTENSION keeps the data.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', $ENV{OMS_STAGE_CONF});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE used');
$node->safe_psql('used', 'CREATE EXTENSION oms; CALL oms.init()');
$node->safe_psql('used', q{
	SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B"}]');
	SELECT oms.receive_stock('default', 'A', 50), oms.receive_stock('default', 'B', 50);
	SELECT oms.place_order(format('{"external_ref":"%s","lines":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}],"payments":[{"method":"card"}]}', n)::jsonb)
	FROM generate_series(1, 10) n;
	SELECT oms.cancel_order(oms.find_order('default', '3'));
	SELECT oms.release_fulfillment(1), oms.ship_fulfillment(1);
	ALTER TABLE oms.orders ADD COLUMN house_note text DEFAULT 'ours';
});

sub fingerprint
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT relname, (xpath('/row/h/text()', query_to_xml(format('SELECT md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text), '''')) AS h FROM oms.%I t',
			relname), false, true, '')))[1] FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1});
}

my $before = fingerprint('used');
for my $format ('plain', 'custom')
{
	my $file = $node->basedir . "/dump.$format";
	my $database = "restored_$format";
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('used'), '-F', $format, '-f', $file ], "$format dump");
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok($format eq 'plain'
		? [ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $file ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), $file ], "$format restore");
	is(fingerprint($database), $before, "$format: the same rows in every table");
	is($node->safe_psql($database, q{SELECT oms.place_order('{"external_ref":"new","lines":[{"sku":"A","quantity":1}]}') ->> 'order_id'}),
		'11', "$format: the next order has the next number");
	is($node->safe_psql($database, q{SELECT oms.place_order('{"external_ref":"1","lines":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}],"payments":[{"method":"card"}]}') ->> 'order_id'}),
		'1', "$format: a document of before is answered as before");
	my ($result, $out, $err) = $node->psql($database, "UPDATE oms.orders SET status = 'draft' WHERE order_id = 2");
	like($err, qr/a change to draft is not allowed/, "$format: machines are enforced");
	is($node->safe_psql($database, "SET ROLE oms_app; SELECT oms.find_order('default', '5')"), '5', "$format: roles keep their grants");
	is($node->safe_psql($database, 'SELECT count(*) FROM oms.audit()'), '0', "$format: audit() finds nothing");
}

$node->safe_psql('used', 'DROP EXTENSION oms');
is(fingerprint('used'), $before, 'DROP EXTENSION keeps every row');
$node->safe_psql('used', "UPDATE oms.channels SET name = 'still mine'; UPDATE oms.orders SET notes = 'x' WHERE order_id = 2;");
$node->safe_psql('used', 'CREATE EXTENSION oms');
is($node->safe_psql('used', q{SELECT oms.place_order('{"external_ref":"after","lines":[{"sku":"A","quantity":1}]}') ->> 'order_id'}), '11',
	'CREATE EXTENSION again works at once');
$node->safe_psql('used', 'CALL oms.init()');
is($node->safe_psql('used', "SET ROLE oms_app; SELECT oms.find_order('default', 'after')"), '11', 'init() renews the grants');
is($node->safe_psql('used', 'SELECT count(*) FROM oms.audit()'), '0', 'audit() finds nothing');
$node->stop;
done_testing();
