# kill -9 of the whole server under load: every order that a client saw committed is there whole, and audit() finds nothing.
use strict;
use warnings;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', $ENV{OMS_STAGE_CONF});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION oms; CALL oms.init()');
$node->safe_psql('postgres', q{
	SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n)) FROM generate_series(1, 20) n));
	SELECT oms.upsert_locations('[{"code":"a","latitude":50,"longitude":8},{"code":"b","latitude":48,"longitude":11}]');
	SELECT oms.receive_stock(l, 'S' || n, 3000) FROM generate_series(1, 20) n, unnest(ARRAY['a', 'b']) l;
	CREATE SEQUENCE ref;
	-- One step in the life of orders: place two, cancel one, ship one.
	CREATE FUNCTION step() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE placed jsonb; other bigint; f bigint;
	BEGIN
		placed := oms.place_order(format('{"external_ref":"%s","lines":[{"sku":"S%s","quantity":2},{"sku":"S%s","quantity":1}],"payments":[{"method":"card"}]}',
			nextval('ref'), 1 + (random() * 19)::int, 1 + (random() * 19)::int)::jsonb);
		IF random() < 0.4 THEN
			PERFORM oms.cancel_order((placed ->> 'order_id')::bigint, NULL, 'test');
		ELSIF random() < 0.5 THEN
			f := (placed #>> '{fulfillments,0,fulfillment_id}')::bigint;
			PERFORM oms.release_fulfillment(f);
			PERFORM oms.ship_fulfillment(f);
		END IF;
		RAISE WARNING 'seen %', placed ->> 'order_id';
	END $$;
});

my $rounds = 3;
my %seen;
for my $round (1 .. $rounds)
{
	my $file = $node->basedir . "/load$round";
	my @children;
	for my $client (1 .. 4)
	{
		my $pid = fork();
		if ($pid == 0)
		{
			# psql prints the notice before the commit; the line "done" after it.
			my $script = join('', map { "SELECT step();\n\\echo done\n" } 1 .. 400);
			open(STDERR, '>&', STDOUT);
			open(STDOUT, '>', "$file.$client");
			open(STDERR, '>&', STDOUT);
			open(my $psql, '|-', 'psql', '-qAtX', '-d', $node->connstr('postgres')) or die;
			print $psql $script;
			close($psql);
			POSIX::_exit(0);
		}
		push @children, $pid;
	}
	select(undef, undef, undef, 1.5);
	# SIGKILL for the postmaster and everything it started; nobody gets to tidy up.
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my @processes = ($postmaster, split /\s+/, `pgrep -P $postmaster`);
	kill 'KILL', @processes;
	$node->{_pid} = undef;
	waitpid($_, 0) for @children;
	for my $wait (1 .. 100)
	{
		last unless grep { kill 0, $_ } @processes;
		select(undef, undef, undef, 0.1);
	}
	for my $client (1 .. 4)
	{
		my $last;
		for my $line (split /\n/, slurp_file("$file.$client"))
		{
			$last = $1 if $line =~ /seen (\d+)/;
			$seen{$last} = 1 if $line eq 'done' && defined $last;
			undef $last if $line eq 'done';
		}
	}
	$node->start;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM oms.audit()'), '0', "audit() finds nothing after crash $round");
}
my @seen = sort { $a <=> $b } keys %seen;
cmp_ok(scalar(@seen), '>', 50, 'clients saw orders committed: ' . scalar(@seen));
my $list = join(',', @seen);
is($node->safe_psql('postgres', "SELECT count(*) FROM unnest(ARRAY[$list]) i WHERE NOT EXISTS (SELECT FROM oms.orders WHERE order_id = i)"),
	'0', 'every order seen committed exists');
$node->stop;
done_testing();
