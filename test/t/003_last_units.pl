# Many clients, few units: exactly as many winners as units, everybody else is told so, nobody sees another error.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('last_units');
$node->init;
$node->append_conf('postgresql.conf', $ENV{OMS_STAGE_CONF});
$node->append_conf('postgresql.conf', "max_connections = 60\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION oms; CALL oms.init()');
$node->safe_psql('postgres', q{
	SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n)) FROM generate_series(0, 20) n));
	SELECT oms.upsert_locations('[{"code":"second"}]');
	SELECT oms.receive_stock('default', 'S0', 70), oms.receive_stock('second', 'S0', 30);
	SELECT oms.receive_stock('default', 'S' || n, 100000) FROM generate_series(1, 20) n;
	CREATE TABLE outcome (state text);
	CREATE SEQUENCE ref;
	CREATE FUNCTION try(lines text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			PERFORM oms.place_order(format('{"external_ref":"%s","lines":%s}', nextval('ref'), lines)::jsonb);
			INSERT INTO outcome VALUES ('won');
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO outcome VALUES (SQLSTATE);
		END;
	END $$;
});

sub run_clients
{
	my ($clients, $transactions, $script) = @_;
	my $file = $node->basedir . '/script.sql';
	unlink $file;
	append_to_file($file, $script);
	$node->command_ok([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ],
		"$clients clients, $transactions transactions each");
}

run_clients(32, 7, q{SELECT try('[{"sku":"S0","quantity":1}]');} . "\n");
is($node->safe_psql('postgres', "SELECT state, count(*) FROM outcome GROUP BY 1 ORDER BY 1"), "OM001|124\nwon|100",
	'exactly 100 winners of 100 units, 124 refusals');
is($node->safe_psql('postgres', "SELECT sum(available) FROM oms.available('S0')"), '0', 'the counters end at zero');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oms.audit()'), '0', 'audit() finds nothing');

# The same with a counter that divides itself at the first wait, and joins itself when little is left.
$node->safe_psql('postgres', q{
	ALTER DATABASE postgres SET oms.stripe_waits = 1;
	TRUNCATE outcome;
	SELECT oms.upsert_items('[{"sku":"HOT"}]'), oms.receive_stock('default', 'HOT', 2500);
	SELECT oms.set_stock_limits('default', 'HOT', reorder_point => 100);
});
run_clients(32, 60, q{SELECT try('[{"sku":"HOT","quantity":1}]');} . "\n");
cmp_ok($node->safe_psql('postgres', "SELECT max(stripes) FROM oms.stock_counters"), '>', 1, 'the counter is divided');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oms.audit()'), '0', 'audit() finds nothing while it is');
run_clients(32, 30, q{SELECT try('[{"sku":"HOT","quantity":1}]');} . "\n");
is($node->safe_psql('postgres', "SELECT state, count(*) FROM outcome GROUP BY 1 ORDER BY 1"), "OM001|380\nwon|2500",
	'exactly 2,500 winners of 2,500 units');
is($node->safe_psql('postgres', "SELECT sum(available) FROM oms.available('HOT')"), '0', 'the stripes end at zero');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oms.audit()'), '0', 'audit() finds nothing after selling out');
is($node->safe_psql('postgres', q{SELECT string_agg(type || ' ' || (data ->> 'available'), ', ' ORDER BY event_id) FROM oms.events
	WHERE data ->> 'sku' = 'HOT' AND type IN ('stock.low', 'stock.out')}), 'stock.low 100, stock.out 0', 'each line is crossed once');
$node->stop;
done_testing();
