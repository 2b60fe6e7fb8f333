package kit

import (
	"strings"
	"testing"
)

// Held is what became of a launch that was held.
type Held struct{ Status, Stdout, Stderr string }

// End runs a script that holds a launch, lets that go on, and returns what
// became of it. The script has the functions of holding.
func (h *Host) End(script string) Held {
	h.T.Helper()
	h.Sh("rm -f /run/out /run/err; " + holding + script + "\nfinish; echo $status >/run/status")
	var files [3]string
	for i, name := range []string{"status", "out", "err"} {
		text, err := h.ReadFile("/run/" + name)
		if err != nil {
			h.T.Fatal(err)
		}
		files[i] = text
	}
	return Held{strings.TrimSpace(files[0]), files[1], files[2]}
}

// Ran asserts that the command ran, and that this alone was said.
func (e Held) Ran(t testing.TB, out string) {
	t.Helper()
	if e.Status != "0" || e.Stdout != out || e.Stderr != "" {
		t.Errorf("status %s\n%s%s\nwant\n%s", e.Status, e.Stdout, e.Stderr, out)
	}
}

// Refused asserts that the command did not run, and that netns-exec said why in
// one line.
func (e Held) Refused(t testing.TB, why string) {
	t.Helper()
	if e.Status != "125" || e.Stdout != "" || strings.Count(e.Stderr, "\n") != 1 || !strings.HasPrefix(e.Stderr, "netns-exec: "+why) {
		t.Errorf("status %s\n%s%s\nwant 125 and\nnetns-exec: %s", e.Status, e.Stdout, e.Stderr, why)
	}
}

// holding are functions of the shell for a launch that stands still behind a
// system call, traced, while a script changes what it relies on. No moment is
// waited for: a signal stops it until the script says so.
//
//	hold ANEW CALL CONDITION [OPTION]... COMMAND [ARG]...
//
// starts the command, after the command ANEW, and returns when it stands behind
// the first CALL, of those that OPTION of strace(1) leaves, at which CONDITION
// holds, a command that can use $pid, of the launcher, and the trace so far,
// /run/trace. CALL can be NAME:when=N for the call of that number alone, as for
// one that fails if a signal is under way, as the load of a BPF program does; if
// CONDITION does not hold there, it starts over.
//
//	again CONDITION
//
// lets it go on, and returns when it stands behind another such call.
//
//	finish
//
// lets it go on to its end, past all such calls, and has its status in $status.
// Its output is in /run/out and /run/err.
const holding = `
hold() {
	anew=$1 call=$2 condition=$3; shift 3
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		eval "$anew"
		: >/run/trace
		strace -e quiet=attach,path-resolution -f -o /run/trace -e trace=${call%%:*} -e inject=${call%%:*}:signal=STOP${call#${call%%:*}} "$@" >/run/out 2>/run/err & tracer=$!
		stops=0
		! stand "$condition" || return 0
	done
	in_vain
}
again() {
	kill -CONT $pid
	stand "$1" || in_vain
}
in_vain() {
	echo "it did not stand still" >&2
	tail -n 50 /run/trace /run/out /run/err >&2
	exit 99
}
runs() { [ -d /proc/$tracer ] && ! grep -q '^State:.Z' /proc/$tracer/status; }
stopped() {
	awk -v n=$1 '/ --- SIGSTOP / { times++; pid = $1 }
		/ --- stopped by SIGSTOP / && times == n && $1 == pid { print pid; exit }' /run/trace
}
stand() {
	while :; do
		stops=$((stops + 1)) tries=0
		until pid=$(stopped $stops); [ "$pid" ]; do
			runs || return 1
			tries=$((tries + 1))
			if [ $tries -eq 1200 ]; then
				kill -KILL $tracer $pid
				in_vain
			fi
			sleep 0.05
		done
		! eval "$1" || return 0
		kill -CONT $pid
	done
}
finish() {
	while runs; do kill -CONT $pid || :; sleep 0.02; done 2>/dev/null
	status=0; wait $tracer || status=$?
}
`
