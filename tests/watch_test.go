// Package tests tests what the tests themselves rely on.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// In a tree to throw away, with a file, a link and a directory in it.
func TestWatchNotices(t *testing.T) {
	for name, test := range map[string]struct{ command, want string }{
		"nothing":               {"cat file >/dev/null; ls dir", ""},
		"a new file":            {": >dir/new", "changed dir|created dir/new"},
		"other contents":        {"echo abd >file", "changed file"},
		"and the time of old":   {"touch -r file /tmp/time.$$; echo abd >file; touch -r /tmp/time.$$ file; rm /tmp/time.$$", "changed file"},
		"removed":               {"rm dir/file", "changed dir|removed dir/file"},
		"retouched":             {"touch file", "changed file"},
		"its mode":              {"chmod 600 file", "changed file"},
		"a copy in its place":   {"cp -p file copy; mv copy file", "changed .|changed file"},
		"another link":          {"ln -sfn other link", "changed .|changed link"},
		"made and removed":      {": >dir/new; rm dir/new", "changed dir"},
		"the command fails":     {"exit 3", "status 3"},
		"and changes something": {"touch file; exit 3", "changed file|status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("sh", "-c", "cd \"$0\" && mkdir dir && echo abc >file && : >dir/file && ln -s file link", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := watched(t, exec.Command("./watch", "--tree", dir, "sh", "-c", "cd \"$0\"; "+test.command, dir), dir); got != test.want {
				t.Errorf("%s: %q, want %q", test.command, got, test.want)
			}
		})
	}
}

// The machine's own places, in memory where the test writes, and the control group
// of the command. What others do there meanwhile is not the command's doing, and
// in /run nobody sees what that does.
func TestWatchKnowsThePlaces(t *testing.T) {
	needRoot(t)
	script := `
set -e
mount -t tmpfs none /usr/local
mount -t tmpfs none /run
mkdir -p /run/netns /run/openrc /run/other /run/etc /run/work /run/sync /run/daemon/dir
: >/run/daemon/dir/pid
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
: >/etc/resolv.conf
mount --bind /run/sync /usr/local
mkfifo /usr/local/go /usr/local/went
cgroups=$(awk '$(NF - 2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
[ -e "$cgroups/cgroup.procs" ] || { cgroups=/run/cgroups; mkdir /run/cgroups; }
{
	read -r _ </usr/local/go
	: >/run/netns/theirs >/run/openrc/started >/run/theirs; rmdir /run/daemon/dir/theirs
	mkdir "$cgroups/theirs-$$"; mount -t tmpfs none /run/daemon
	echo >/usr/local/went
} &
mkdir /run/daemon/dir/theirs
./watch sh -c 'echo >/usr/local/go; read -r _ </usr/local/went
	: >/etc/new; echo nameserver 192.0.2.1 >/etc/resolv.conf; chmod 700 /usr/local
	: >/run/netns/vpn; : >/run/openrc/softlevel; : >/run/new.pid; rmdir /run/other
	: >/run/daemon/dir/new; echo 1 >/run/daemon/dir/pid
	mkdir "$0$(sed -n s/^0:://p /proc/self/cgroup)/openrc.left"
	mount -t tmpfs none /run/daemon' "$cgroups" || status=$?
rmdir "$cgroups/theirs-$$"
[ ! -e /run/new.pid ] && [ -e /run/other ]
exit $status`
	got := "|" + watched(t, exec.Command("unshare", "--mount", "--propagation=private", "sh", "-c", script), "/") + "|"
	for _, want := range []string{"created /etc/new", "changed /etc/resolv.conf", "changed /usr/local", "changed /run/netns", "created /run/netns/vpn",
		"changed /run/openrc", "created /run/openrc/softlevel", "created /run/new.pid", "removed /run/other", "created mount /run/daemon",
		"changed /run/daemon/dir", "created /run/daemon/dir/new", "changed /run/daemon/dir/pid"} {
		if !strings.Contains(got, "|"+want+"|") {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if !strings.Contains(got, "|created cgroup openrc.left|") && !strings.Contains(got, "|created /run/cgroups/openrc.left|") {
		t.Errorf("no cgroup is in %q", got)
	}
	for _, not := range []string{"theirs", "started", "changed /etc|", "created /run/daemon|"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in %q", not, got)
		}
	}
}

// watched runs the command and returns what it says, with paths from dir and
// "|" for the ends of lines, and after that its status, unless that is the one
// to expect.
func watched(t *testing.T, cmd *exec.Cmd, dir string) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	_ = cmd.Run()
	head, list, differs := strings.Cut(stderr.String(), "tests/watch: what ran changed this machine:\n")
	if head != "" {
		t.Fatal(stderr.String())
	}
	var said []string
	for line := range strings.Lines(list) {
		what, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if relative, err := filepath.Rel(dir, path); err == nil && dir != "/" {
			path = relative
		}
		said = append(said, what+" "+path)
	}
	want := 0
	if differs {
		want = 1
	}
	if status := cmd.ProcessState.ExitCode(); status != want {
		said = append(said, fmt.Sprintf("status %d", status))
	}
	return strings.Join(said, "|")
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
}
