# Many clients, the same twenty items in any order: orders placed, edited and cancelled, carts held and given up, some of it
# interrupted.  No deadlock, no error but those of the contract, and every unit is where the clients' own books have it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use Test::More;

my $clients = 32;
my $transactions = 40;

my $node = PostgreSQL::Test::Cluster->new('reversed_lines');
$node->init;
$node->append_conf('postgresql.conf', $ENV{OMS_STAGE_CONF});
# Who would have to wait in a circle is found at once, and counted by the server.
$node->append_conf('postgresql.conf', "max_connections = 60\ndeadlock_timeout = 20ms\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION oms; CALL oms.init()');
$node->safe_psql('postgres', q{
	SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n)) FROM generate_series(1, 20) n));
	SELECT oms.upsert_locations('[{"code":"second"}]');
	CREATE TABLE outcome (operation text, state text, message text);
	CREATE TABLE ordered (sku text, units int);
	CREATE TABLE cart (client int, sku text, units int);
	CREATE SEQUENCE ref;

	-- Up to six lines in any order, an item at most once.
	CREATE FUNCTION some_lines() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
		SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n, 'quantity', 1 + floor(random() * 3)::int)) FROM (
			SELECT n FROM generate_series(1, 20) n ORDER BY random() LIMIT 2 + floor(random() * 5)::int) x
	$$;
	-- One of the youngest orders, so that several clients choose the same one.
	CREATE FUNCTION some_order() RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT order_id FROM (SELECT order_id FROM oms.orders ORDER BY order_id DESC LIMIT 24) x ORDER BY random() LIMIT 1
	$$;

	CREATE FUNCTION run(operation text, client int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		lines  jsonb := some_lines();
		victim record;
	BEGIN
		IF operation = 'place' THEN
			PERFORM oms.place_order(jsonb_build_object('external_ref', 'o' || nextval('ref'), 'lines', lines));
			INSERT INTO ordered SELECT sku, quantity FROM jsonb_to_recordset(lines) l(sku text, quantity int);
		ELSIF operation = 'edit' THEN
			PERFORM oms.edit_order(some_order(), jsonb_build_object('add', lines));
			INSERT INTO ordered SELECT sku, quantity FROM jsonb_to_recordset(lines) l(sku text, quantity int);
		ELSIF operation = 'cancel' THEN
			SELECT l.order_id, jsonb_agg(jsonb_build_object('line_no', line_no, 'quantity', 1) ORDER BY random()) AS lines,
			       array_agg(sku) AS skus INTO victim
			FROM oms.order_lines l JOIN oms.items USING (item_id), (SELECT some_order() AS order_id OFFSET 0) o
			WHERE l.order_id = o.order_id AND l.ordered > l.cancelled GROUP BY l.order_id;
			IF victim.order_id IS NULL THEN
				RETURN;
			END IF;
			PERFORM oms.cancel_order(victim.order_id, victim.lines);
			INSERT INTO ordered SELECT sku, -1 FROM unnest(victim.skus) sku;
		ELSIF operation = 'reserve' THEN
			PERFORM oms.reserve(lines, '1 hour', reference => 'cart ' || client);
			DELETE FROM cart c WHERE c.client = run.client;
			INSERT INTO cart SELECT run.client, sku, quantity FROM jsonb_to_recordset(lines) l(sku text, quantity int);
		ELSIF operation = 'release' THEN
			PERFORM oms.release_reservation(reservation_id) FROM oms.reservations
			WHERE reference = 'cart ' || client AND status = 'held';
			DELETE FROM cart c WHERE c.client = run.client;
		ELSIF operation = 'buy' THEN
			PERFORM oms.place_order(jsonb_build_object('external_ref', 'o' || nextval('ref'), 'lines', lines,
				'reservation_id', (SELECT reservation_id FROM oms.reservations WHERE reference = 'cart ' || client AND status = 'held')));
			DELETE FROM cart c WHERE c.client = run.client;
			INSERT INTO ordered SELECT sku, quantity FROM jsonb_to_recordset(lines) l(sku text, quantity int);
		END IF;
	END $$;

	CREATE FUNCTION try(dice int, client int) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		operation text := CASE WHEN dice <= 35 THEN 'place' WHEN dice <= 50 THEN 'edit' WHEN dice <= 65 THEN 'cancel'
		                       WHEN dice <= 85 THEN 'reserve' WHEN dice <= 90 THEN 'release' ELSE 'buy' END;
	BEGIN
		PERFORM run(operation, client);
		INSERT INTO outcome VALUES (operation, 'done');
		RETURN 'done';
	EXCEPTION
		WHEN query_canceled OR OTHERS THEN
			INSERT INTO outcome VALUES (operation, SQLSTATE, SQLERRM);
			RETURN SQLSTATE;
	END $$;

	-- As an application does: what reports OM011 is made again in a transaction of its own.
	CREATE PROCEDURE persist(dice int, client int) LANGUAGE plpgsql AS $$
	DECLARE
		state text;
	BEGIN
		FOR times IN 1 .. 5 LOOP
			state := try(dice, client);
			COMMIT;
			EXIT WHEN state <> 'OM011';
			PERFORM pg_sleep(random() * 0.02);
		END LOOP;
	END $$;
});

# Every client is a psql of its own; one call in fifteen has too little time to end.
sub run_clients
{
	my (@runs, @errors);
	for my $client (1 .. $clients)
	{
		my $script = '';
		for (1 .. $transactions)
		{
			$script .= sprintf "SET statement_timeout = %d;\n", rand(15) < 1 ? 3 : 0;
			$script .= sprintf "CALL persist(%d, %d);\n", 1 + rand 100, $client;
		}
		my $file = $node->basedir . "/client$client";
		unlink "$file.sql";
		append_to_file("$file.sql", $script);
		push @runs, [ $file, IPC::Run::start([ 'psql', '-qAtX', '-d', $node->connstr('postgres'), '-f', "$file.sql" ], '>', '/dev/null', '2>', "$file.log") ];
	}
	for my $run (@runs)
	{
		IPC::Run::finish($run->[1]);
		push @errors, grep { /ERROR|FATAL|PANIC/ } split /\n/, slurp_file("$run->[0].log");
	}
	return @errors;
}

for my $level ('read committed', 'repeatable read', 'serializable')
{
	$node->safe_psql('postgres', "TRUNCATE outcome; ALTER DATABASE postgres SET default_transaction_isolation = '$level'");
	$node->safe_psql('postgres', q{SELECT oms.receive_stock(l, 'S' || n, 60) FROM generate_series(1, 20) n, unnest(ARRAY['default', 'second']) l});
	# Orders to choose from, and once every operation by itself: how often each succeeds in the crowd depends on the machine.
	$node->safe_psql('postgres', "SELECT try($_, 0)") for (1) x 24, 86, 70, 95, 70, 40, 60;
	my @errors = grep { !/statement timeout/ } run_clients();
	# Only COMMIT of a serializable transaction, and what it reads beside the calls, may fail with the server's own error.
	my $known = q{'done', 'OM001', 'OM002', 'OM011', '57014'};
	if ($level eq 'serializable')
	{
		@errors = grep { !/could not serialize access/ } @errors;
		$known .= q{, '40001'};
	}
	is("@errors", '', "$level: $clients clients, $transactions transactions each");
	is($node->safe_psql('postgres', "SELECT coalesce(string_agg(DISTINCT concat_ws(' ', operation, state, message), E'\n'), '') FROM outcome
		WHERE state NOT IN ($known)"), '', "$level: no other errors than those of the contract");
	is($node->safe_psql('postgres', q{SELECT string_agg(operation, ' ' ORDER BY operation) FROM (SELECT operation FROM outcome WHERE state = 'done'
		GROUP BY 1 HAVING count(*) > 0) o}), 'buy cancel edit place release reserve', "$level: every operation succeeds");
	is($node->safe_psql('postgres', "SELECT count(*) FROM outcome WHERE state = 'OM011'"), '0', "$level: nothing to repeat") if $level eq 'read committed';
	diag("$level: " . $node->safe_psql('postgres', q{SELECT string_agg(state || ' ' || count, ', ' ORDER BY state) FROM (SELECT state, count(*) FROM outcome GROUP BY 1) o}));
	is($node->safe_psql('postgres', q{SELECT coalesce(string_agg(format('%s: %s reserved, %s in the books', sku, reserved, units), E'\n'), '') FROM (
			SELECT sku, sum(reserved) AS reserved, (SELECT coalesce(sum(units), 0) FROM (
				SELECT sku, units FROM ordered UNION ALL SELECT sku, units FROM cart) b WHERE b.sku = i.sku) AS units
			FROM oms.stock JOIN oms.items i USING (item_id) GROUP BY sku) s WHERE reserved <> units}), '', "$level: no update is lost");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM oms.audit()'), '0', "$level: audit() finds nothing");
}
# The server counts a deadlock when it breaks it, whatever the call made of the error.
is($node->safe_psql('postgres', q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'}), '0', 'no deadlock at any level');
$node->stop;
done_testing();
