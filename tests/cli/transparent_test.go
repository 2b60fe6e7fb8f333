package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/internal/apart"
)

// state is a shell script that makes the process peculiar in every way, and
// then becomes its arguments. Perl sets what no shell can.
const state = `
set -e
cd /var/tmp
umask 037
prlimit --pid $$ --as=9000000000:9100000000 --core=1:2 --cpu=1000:2000 --data=8000000000:8100000000 \
	--fsize=1000000:2000000 --locks=11:12 --memlock=48000:49000 --msgqueue=1000:2000 \
	--nofile=333:3333 --nproc=5000:6000 --rss=10000000:20000000 --rttime=100000:200000 \
	--sigpending=100:200 --stack=4194304:5000000
echo 123 >/proc/self/oom_score_adj
exec 5</etc/passwd 7>>/dev/null
export ODD='a
b' EMPTY=
exec taskset 1 nice -n 3 ionice -c 2 -n 6 setpriv --bounding-set -sys_time,-sys_boot perl -MPOSIX -e '
	sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1, SIGCHLD, SIGSEGV, SIGPROF, 40));
	$SIG{$_} = "IGNORE" for qw(HUP INT PIPE TERM USR2 QUIT CHLD TSTP WINCH SEGV NUM40);
	exec { $ARGV[0] } @ARGV' "$@"
`

// probes are commands that show what they inherit. None is a shell, because a
// shell sets its own signal mask.
var probes = map[string]string{
	"arguments":   "cat /proc/self/cmdline - 'three words' ''",
	"environment": "cat /proc/self/environ",
	"status":      "cat /proc/self/status",
	"limits":      "cat /proc/self/limits",
	"oom score":   "cat /proc/self/oom_score_adj",
	"directory":   "readlink /proc/self/cwd",
	"descriptors": "ls -l /proc/self/fd",
	"flags":       "grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2 /proc/self/fdinfo/5 /proc/self/fdinfo/7",
	"io priority": "ionice",
	"scheduling":  "chrt -p 0",
	"own job":     `perl -e 'open F, "/proc/self/stat"; $_ = <F>; s/.*\) //; @f = split; print join(" ", (map { $_ == $$ ? "own" : "other" } @f[2, 3, 5]), $f[4], $f[16]), "\n"'`,
}

// volatile is what differs between any two runs: process numbers, the ticket
// numbers of pipes, addresses, counts of switches and pages.
var volatile = regexp.MustCompile(`(?m)^(Pid|Tgid|Ngid|PPid|NStgid|NSpid|NSpgid|NSsid|Vm\w+|Rss\w+|\w*ctxt_switches|SigQ|Hugetlb\w+|Speculation\w+):.*\n|\[\d+\]| \w{3} +\d+ \d\d:\d\d|/proc/\d+/|(?:pid |process )\d+('s)?`)

// TestTransparent runs the same probes directly and through netns-exec.
func TestTransparent(t *testing.T) {
	withVPN(t)
	script := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(script, []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	launch := func(t *testing.T, terminal bool, command string) string {
		t.Helper()
		command = "exec sh " + script + " " + command
		cmd := exec.Command("sh", "-c", command)
		if terminal {
			cmd = exec.Command("script", "-qec", command, "/dev/null")
		}
		cmd.Env = []string{"PATH=" + apart.Bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "B=2", "A=1"}
		out, err := cmd.CombinedOutput()
		// cat cannot read its last two arguments; they are there to be seen.
		if err != nil && !strings.Contains(command, "three words") {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return volatile.ReplaceAllString(string(out), "")
	}
	for where, terminal := range map[string]bool{"": false, " on a terminal": true} {
		for name, probe := range probes {
			t.Run(name+where, func(t *testing.T) {
				direct := launch(t, terminal, probe)
				launched := launch(t, terminal, "netns-exec vpn "+probe)
				t.Logf("%q", direct)
				if diff := cmp.Diff(direct, launched); diff != "" {
					t.Errorf("the launched process differs (-direct +launched):\n%s", diff)
				}
			})
		}
	}
}
