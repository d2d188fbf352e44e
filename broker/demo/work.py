"""What the demo's jobs do: burn a little CPU, write checkpoints, print progress. In Perl, which every Debian has.

It uses nothing beyond the package perl-base, which is essential there. A Perl process starts in two milliseconds and
needs 4 MB, so that hundreds of real processes fit on two cores.
"""

from typing import Final

SCRIPT: Final = r"""
use strict; use warnings; use POSIX ();
sub now { return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }
my ($seconds, $code) = @ARGV;
my ($start, $step, $sum) = (now(), 0, 0);
$| = 1;
print "task $ENV{XISUAN_TASK} on $ENV{XISUAN_NODE}, cards $ENV{XISUAN_CARDS}\n";
while ((my $left = $seconds - (now() - $start)) > 0) {
    $sum = ($sum * 31 + $_) % 1000003 for 1 .. 4000;
    $step++;
    if ($step % 5 == 1) {
        open my $file, '>', 'checkpoint.new' or die "cannot write a checkpoint: $!";
        print $file "step $step sum $sum\n";
        close $file and rename 'checkpoint.new', 'checkpoint' or die "cannot keep the checkpoint: $!";
        print "step $step sum $sum\n";
    }
    select(undef, undef, undef, $left < 0.2 ? $left : 0.2);
}
print "done after $step steps\n";
exit $code;
"""


def command(seconds: float, *, exit_code: int = 0) -> tuple[str, ...]:
    """Return the command of a job that works for so many seconds and exits with the code."""
    return ("/usr/bin/perl", "-e", SCRIPT, f"{seconds:.3f}", str(exit_code))
