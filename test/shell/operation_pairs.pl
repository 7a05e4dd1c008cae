#
# Lets every ordered pair of operations on inventory meet in two sessions.
#
# Session one begins and runs its operation; session two, whose snapshot is
# older than that, runs its own, and waits if it must; one commits, two commits.
# This is done at each isolation level, and once more with session one rolling
# back.  Afterwards
#
#   - each call has succeeded or was refused by an error of the contract: no
#     deadlock, no raw serialization failure, nobody waits for ever;
#   - where OM011 asked for it, the transaction was repeated;
#   - answers, counters, lines, holds, supplies, quotas, ledger and events are
#     those of one of the two serial orders, which are really run;
#   - audit() finds nothing.
#
# Each run has a tenant of its own, a copy of one world made in one go by
# operation_pairs.sql, so nothing is cleaned up between two runs.
#
#   ONLY_PAIRS="place_order adjust_stock"   only pairs of these operations
#
use strict;
use warnings;
use IPC::Open2;
use IO::Select;
use Time::HiRes qw(time);
use File::Basename;

my $shift = 1_000_000;

# {side} is 1 in session one and 2 in session two, {id:name} an id of the run's tenant.
my %call = (
	place_order => q{oms.place_order('{"external_ref":"new{side}","lines":[{"sku":"A","quantity":4},{"sku":"B","quantity":1}]}')},
	place_spread => q{oms.place_order('{"external_ref":"wide{side}","lines":[{"sku":"A","quantity":3}]}')},
	place_reserved => q{oms.place_order('{"external_ref":"cart{side}","reservation_id":{id:cart},"lines":[{"sku":"A","quantity":3}]}')},
	cancel_order => q{oms.cancel_order({id:old})},
	cancel_owed => q{oms.cancel_order({id:back}, '[{"line_no":1,"quantity":2}]')},
	edit_order => q{oms.edit_order({id:back}, '{"lines":[{"line_no":1,"quantity":5}],"add":[{"sku":"A","quantity":2}]}')},
	ship_fulfillment => q{oms.ship_fulfillment({id:ready})},
	receive_stock => q{oms.receive_stock('north', 'A', 2)},
	receive_owed => q{oms.receive_stock('north', 'B', 2)},
	adjust_stock => q{oms.adjust_stock('north', 'A', -3, 'lost')},
	adjust_owed => q{oms.adjust_stock('north', 'B', -1, 'lost')},
	count_stock => q{oms.count_stock('north', 'A', 2)},
	count_owed => q{oms.count_stock('north', 'B', 2)},
	move_stock_state => q{oms.move_stock_state('north', 'A', 'sellable', 'damaged', 3, 'dropped')},
	load_stock => q{oms.load_stock('[{"location":"north","sku":"A","quantity":5},{"location":"north","sku":"B","quantity":3}]')},
	set_stock_limits => q{oms.set_stock_limits('north', 'A', safety => 2)},
	set_backorder_limit => q{oms.set_stock_limits('north', 'B', backorder_limit => 9)},
	reserve => q{oms.reserve('[{"sku":"A","quantity":3}]', '1 hour', reference => 'new{side}')},
	reserve_again => q{oms.reserve('[{"sku":"A","quantity":3}]', '1 hour', reference => 'cart')},
	extend_reservation => q{oms.extend_reservation({id:cart}, '2 hours')},
	release_reservation => q{oms.release_reservation({id:cart})},
	expire_reservations => q{oms.expire_reservations()},
	expect_supply => q{oms.expect_supply('north', 'B', 3, '2026-03-12', 'next{side}')},
	receive_supply => q{oms.receive_supply({id:po}, 3)},
	cancel_supply => q{oms.cancel_supply({id:po})},
	fill_backorders => q{(SELECT jsonb_agg(quantity) FROM oms.fill_backorders())},
	set_channel_quota => q{oms.set_channel_quota('default', 'A', cap => 8)},
	request_transfer => q{oms.request_transfer('north', 'south', 'A', 3, '2026-03-12', 'go{side}')},
	ship_transfer => q{oms.ship_transfer({id:parked}, 1)},
	cancel_transfer => q{oms.cancel_transfer({id:parked})},
	receive_transfer => q{oms.receive_transfer({id:moving}, 2)},
	close_transfer => q{oms.close_transfer({id:moving})},
	receive_return => q{oms.receive_return({id:return}, '[{"line_no":1,"quantity":2}]')},
);

# They take what nobody works on; what they leave the next run takes.
my %takes_work = map { $_ => 1 } qw(fill_backorders);

my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE', 'ROLLED BACK');
my %isolation = map { $_ => $_ } @levels;
$isolation{'ROLLED BACK'} = 'READ COMMITTED';

#
# Sessions: psql at the other end of two pipes.
#

sub start_session
{
	my %session = (mark => 0);
	local $ENV{PGOPTIONS} = '-c statement_timeout=20s -c deadlock_timeout=200ms -c client_min_messages=error';
	$session{pid} = open2($session{out}, $session{in}, "exec psql -qAtX 2>&1");
	$session{select} = IO::Select->new($session{out});
	my $self = \%session;
	ask($self, "SET oms.clock = '2026-03-02 13:30:00+00'");
	$self->{backend} = ask($self, 'SELECT pg_backend_pid()')->{text};
	return $self;
}

sub send_statement
{
	my ($session, $statement) = @_;
	$session->{text} = '';
	$session->{mark}++;
	my $in = $session->{in};
	print $in "$statement;\n\\echo '' mark $session->{mark} :SQLSTATE\n";
	$in->flush;
}

# The state and text of the answer, or undef where it does not come within the seconds.
sub answer
{
	my ($session, $seconds) = @_;
	my $until = time + $seconds;
	until ($session->{text} =~ /^ mark $session->{mark} \w+\n\z/m)
	{
		my $left = $until - time;
		return if $left <= 0 || !$session->{select}->can_read($left);
		sysread($session->{out}, $session->{text}, 65536, length $session->{text}) or die "a session ended: $session->{text}\n";
	}
	my ($text, $state) = $session->{text} =~ /\A(.*?)\n?^ mark \d+ (\w+)\n\z/ms;
	return { text => $text, state => $state };
}

sub ask
{
	my ($session, $statement) = @_;
	send_statement($session, $statement);
	return answer($session, 120) // die "no answer to $statement\n";
}

sub must
{
	my $answer = ask(@_);
	die "$_[1]\n$answer->{text}\n" if $answer->{state} ne '00000';
	return $answer->{text};
}

#
# Runs.
#

my (%id, $watcher, @session, %serial, %alone, @faults, %counts);

sub statement_of
{
	my ($operation, $side, $tenant) = @_;
	my $call = $call{$operation};
	$call =~ s/\{side\}/$side/g;
	$call =~ s/\{id:(\w+)\}/$id{$1} + $shift * ($tenant - 1)/ge;
	return "SELECT ($call)::text IS NULL";
}

# Both operations in one session, undone afterwards; an error undoes its own statement only.
sub run_serial
{
	my ($first, $second) = @_;
	my @state;
	must($session[0], 'BEGIN');
	for my $one ($first, $second)
	{
		next unless $one;
		push @state, ask($session[0], statement_of($one->[0], $one->[1], 2))->{state};
	}
	my $facts = must($session[0], 'SELECT public.facts(2)');
	must($session[0], 'ROLLBACK');
	return (\@state, $facts);
}

sub serial_orders
{
	my ($a, $b) = @_;
	my ($ab, $ab_facts) = run_serial([ $a, 1 ], [ $b, 2 ]);
	my ($ba, $ba_facts) = run_serial([ $b, 2 ], [ $a, 1 ]);
	return ("$ab->[0] $ab->[1]\n$ab_facts", "$ba->[1] $ba->[0]\n$ba_facts");
}

# Whether the session waits for the other one.
sub is_blocked
{
	my ($session) = @_;
	return must($watcher, "SELECT pg_blocking_pids($session->{backend}) <> '{}'") eq 't';
}

sub finish
{
	my ($session, $answer, $end) = @_;
	return $answer->{state} if ask($session, $answer->{state} eq '00000' ? $end : 'ROLLBACK')->{state} eq '00000';
	return 'at commit';
}

# What went wrong with a call, if it is not an error of the contract.
sub check_answer
{
	my ($answer, $where) = @_;
	push @faults, "$where: $answer->{state} $answer->{text}"
		if $answer->{state} !~ /^(00000|OM001|OM002|OM011)$/ || $answer->{text} =~ /deadlock/;
	$counts{$answer->{state}}++;
}

sub run_pair
{
	my ($a, $b, $level, $tenant) = @_;
	my $where = "$a, $b, $level (tenant $tenant)";
	my @operation = ($a, $b);
	my (@answer, @state);

	for my $session (@session)
	{
		must($session, "SET oms.tenant = $tenant; BEGIN ISOLATION LEVEL $isolation{$level}; SELECT 1 FROM oms.installation");
	}
	$answer[0] = ask($session[0], statement_of($a, 1, $tenant));
	send_statement($session[1], statement_of($b, 2, $tenant));
	until ($answer[1] = answer($session[1], 0.004))
	{
		next unless is_blocked($session[1]);
		$counts{waited}++;
		last;
	}
	$state[0] = finish($session[0], $answer[0], $level eq 'ROLLED BACK' ? 'ROLLBACK' : 'COMMIT');
	$answer[1] //= answer($session[1], 30);
	die "$where: session two never came back\n" unless $answer[1];
	$state[1] = finish($session[1], $answer[1], 'COMMIT');
	check_answer($answer[$_], $where) for 0, 1;

	# OM011 asks to repeat the transaction; so does a failure of COMMIT, which only SERIALIZABLE knows.
	for my $side (0, 1)
	{
		next if $level eq 'ROLLED BACK' && $side == 0;
		for (1 .. 3)
		{
			last unless $state[$side] =~ /OM011|at commit/;
			push @faults, "$where: $answer[$side]{text}" if $isolation{$level} eq 'READ COMMITTED';
			push @faults, "$where: COMMIT failed" if $state[$side] eq 'at commit' && $level ne 'SERIALIZABLE';
			$counts{repeated}++;
			must($session[$side], "BEGIN ISOLATION LEVEL $isolation{$level}");
			my $answer = ask($session[$side], statement_of($operation[$side], $side + 1, $tenant));
			check_answer($answer, "$where again");
			$state[$side] = finish($session[$side], $answer, 'COMMIT');
		}
	}

	my $facts = must($watcher, "SELECT public.facts($tenant)");
	my @allowed = $level eq 'ROLLED BACK' ? "$state[0] $alone{$b}" : @{ $serial{"$a $b"} };
	return if grep { $_ eq "$state[0] $state[1]\n$facts" } @allowed;
	for my $side (grep { $takes_work{ $operation[$_] } } 0, 1)
	{
		must($session[$side], statement_of($operation[$side], $side + 1, $tenant));
		$facts = must($watcher, "SELECT public.facts($tenant)");
		return if grep { $_ eq "$state[0] $state[1]\n$facts" } @allowed;
	}
	push @faults, "$where: neither serial order\n" . differences("$state[0] $state[1]\n$facts", @allowed);
}

sub differences
{
	my ($found, @allowed) = @_;
	my $text = '';
	for my $one (@allowed)
	{
		my %in_found = map { $_ => 1 } split /\n/, $found;
		my %in_one = map { $_ => 1 } split /\n/, $one;
		$text .= join '', "  against one order:\n", map({ "    expected $_\n" } grep { !$in_found{$_} } sort keys %in_one),
			map({ "    found    $_\n" } grep { !$in_one{$_} } sort keys %in_found);
	}
	return $text;
}

#
# All of it.
#

$| = 1;
my $start = time;
my @operations = sort keys %call;
@operations = split ' ', $ENV{ONLY_PAIRS} if $ENV{ONLY_PAIRS};
my $runs = @levels * @operations**2;
system('psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', dirname($0) . '/operation_pairs.sql') == 0 or exit 1;
$watcher = start_session();
must($watcher, 'SET statement_timeout = 0');
%id = map { split /=/ } split /\n/, must($watcher, q{
	SELECT external_ref || '=' || order_id FROM oms.orders
	UNION ALL SELECT reference || '=' || reservation_id FROM oms.reservations
	UNION ALL SELECT reference || '=' || supply_id FROM oms.supplies WHERE reference IS NOT NULL
	UNION ALL SELECT reference || '=' || transfer_id FROM oms.transfers
	UNION ALL SELECT 'return=' || return_id FROM oms.returns
	UNION ALL SELECT 'ready=' || fulfillment_id FROM oms.fulfillments WHERE status = 'released'});
must($watcher, sprintf('CALL public.copy_world(%d)', $runs + 2));
must($watcher, 'ANALYZE');
printf "%d worlds after %.1f s\n", $runs, time - $start;

@session = (start_session(), start_session());
must($session[0], '\set ON_ERROR_ROLLBACK on' . "\nSET oms.tenant = 2");
for my $a (@operations)
{
	my ($state, $facts) = run_serial([ $a, 2 ]);
	$alone{$a} = "$state->[0]\n$facts";
	$serial{"$a $_"} = [ serial_orders($a, $_) ] for @operations;
}
printf "serial orders after %.1f s\n", time - $start;
must($session[0], '\set ON_ERROR_ROLLBACK off' . "\nSELECT 1");

my $tenant = 2;
for my $level (@levels)
{
	for my $a (@operations)
	{
		run_pair($a, $_, $level, ++$tenant) for @operations;
	}
	printf "%s after %.1f s\n", $level, time - $start;
}
must($watcher, 'CALL public.join_worlds()');
must($watcher, 'ANALYZE');
push @faults, map { "audit: $_" } split /\n/, must($watcher, 'SELECT * FROM oms.audit()');
printf "audit after %.1f s\n", time - $start;
print "$_\n" for @faults;
printf "%d runs, %d waited, %d repeated, %s\n", $runs, $counts{waited}, $counts{repeated} // 0,
	join ', ', map { "$counts{$_} $_" } grep { /^O|^0/ } sort keys %counts;
die "the sessions hardly met\n" if $counts{waited} < $runs / 2;
exit 1 if @faults;
