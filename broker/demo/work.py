"""What the demo's jobs do: burn a little CPU, write checkpoints, print progress. In Perl, which every Debian has.

A Perl process starts in two milliseconds and needs 4 MB, so that hundreds of real processes fit on two cores.
"""

from typing import Final

SCRIPT: Final = r"""
use strict; use warnings; use Time::HiRes qw(time sleep);
my ($seconds, $code) = @ARGV;
my ($start, $step, $sum) = (time, 0, 0);
$| = 1;
print "task $ENV{XISUAN_TASK} on $ENV{XISUAN_NODE}, cards $ENV{XISUAN_CARDS}\n";
while ((my $left = $seconds - (time - $start)) > 0) {
    $sum = ($sum * 31 + $_) % 1000003 for 1 .. 4000;
    $step++;
    if ($step % 5 == 1) {
        open my $file, '>', 'checkpoint.new' or die "cannot write a checkpoint: $!";
        print $file "step $step sum $sum\n";
        close $file and rename 'checkpoint.new', 'checkpoint' or die "cannot keep the checkpoint: $!";
        print "step $step sum $sum\n";
    }
    sleep($left < 0.2 ? $left : 0.2);
}
print "done after $step steps\n";
exit $code;
"""


def command(seconds: float, *, exit_code: int = 0) -> tuple[str, ...]:
    """Return the command of a job that works for so many seconds and exits with the code."""
    return ("/usr/bin/perl", "-e", SCRIPT, f"{seconds:.3f}", str(exit_code))
