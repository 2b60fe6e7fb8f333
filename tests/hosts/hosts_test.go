// Package hosts runs a slice of each kind of suite on hosts of other kinds. They
// are namespaces of this one: they have its files, but none of its /run, /tmp and
// cgroups, and end with the test.
package hosts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"openrc-netns/tests/internal/build"
)

// slices are what is run of each package: with -short, and without.
var slices = []struct{ dir, short, all string }{
	{"internal/audit", ".", "."},
	{"internal/cgroup", ".", "."},
	{"internal/publish", "", "TestNeitherProcessGetsOut|TestRelayUDP"},
	{"internal/inherited", "", "."},
	{"internal/mounts", ".", "."},
	{"internal/namespace", "", "."},
	{"internal/openrc", "", "."},
	{"internal/provision", ".", "."},
	{"internal/sandbox", "", "."},
	{"internal/vrf", ".", "."},
	{"tests", "TestWatch(Stays|Knows)", "TestWatch"},
	{"tests/cli", "TestHostStateHasCgroups|TestCommandLine/(lock_in_chroot|mount_propagation|user)$",
		"TestHostState|TestFailure|TestTransparent|TestCommandLine/.*(cgroup|chroot|etc|mount|old|proc|sysfs|user)"},
	{"tests/torture", ".", "."},
	{"tests/machine", "", "TestRoot"},
	{"tests/openrc", "TestTable/sid/dash/stop_inside", "TestTable/(sid|bookworm)/dash/stop_inside"},
	{"tests/vm", "", "TestRunIsOrdinary"},
}

// hosts are what a shell makes of this one before the tests run. Those of a
// short run come first.
var hosts = []struct{ name, script string }{
	{"after ip netns add", "ip netns add x"},
	{"a home that nobody may write to, umask 077", `
		umask 077
		mkdir -p "$HOME/.cache"; mount --bind "$HOME" "$HOME"; mount -o remount,bind,ro "$HOME"`},
	{"no home", `
		mount -t tmpfs none /var/tmp; mkdir /var/tmp/openrc-netns
		[ ! -d "$HOME/.cache/openrc-netns" ] || mount --bind "$HOME/.cache/openrc-netns" /var/tmp/openrc-netns
		unset HOME XDG_CACHE_HOME`},
	{"cgroup v2 at unified", `
		umount /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup
		mkdir /sys/fs/cgroup/unified; mount -t cgroup2 none /sys/fs/cgroup/unified`},
	{"no cgroups", "umount /sys/fs/cgroup"},
	{"another locale", "export LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 LANGUAGE=de:fr"},
	{"nothing in /tmp can be executed", "unset TMPDIR; mount -t tmpfs -o noexec,mode=1777 none /tmp"},
	{"temporary files elsewhere", `export TMPDIR="/tmp/a b"; mkdir -m 700 "$TMPDIR"`},
	{"settings of Go", "export GOFLAGS='-mod=mod -tags=x' CGO_ENABLED=1"},
	{"shared mounts", "mount --make-rshared /"},
	{"a container at work", `
		while :; do
			mkdir -p /run/netns /run/openrc/started; : >/run/openrc/softlevel >/run/openrc/started/sshd
			: >/run/netns/vpn; mount --bind /proc/self/ns/net /run/netns/vpn
			mkdir -p /sys/fs/cgroup/openrc.sshd /sys/fs/cgroup/box/openrc-netns.sshd
			sleep 0.1
			rmdir /sys/fs/cgroup/openrc.sshd /sys/fs/cgroup/box/openrc-netns.sshd /sys/fs/cgroup/box
			umount /run/netns/vpn; rm -r /run/netns/vpn /run/openrc
			sleep 0.1
		done >/dev/null 2>&1 &`},
}

// make makes the namespaces, with this process as their root cgroup, and runs $2
// there. Of $1, a directory, nothing is left.
const makeHost = `
mount -t tmpfs none "$1"
cd "$1"
mkdir cgroup
enter=/dev/null
if mount -t cgroup2 none cgroup; then
	own=$(mktemp -d "$1/cgroup/hosts-XXXXXX")
	enter=$own/cgroup.procs
	# What was killed in it takes its time.
	trap 'for i in $(seq 600); do
		find "$own" -depth -type d -exec rmdir {} \; 2>/dev/null || :
		[ -e "$own" ] || break
		sleep 0.1
	done' EXIT
fi
sh -c 'echo 0 >"$0"; exec "$@"' "$enter" \
	unshare --cgroup --mount --propagation=private sh -ec "$2" sh "$@"
`

// root makes the root, and has the tree $3 and the tests $4 in it. Cgroup v2 is
// at /sys/fs/cgroup, as on a machine with systemd.
const root = `
mkdir root
mount -t tmpfs -o mode=755 none root
cd root
for path in /*; do
	case "$path" in
	/run | /tmp) mkdir ".$path" ;;
	/proc) mkdir proc; mount -t proc none proc ;;
	/sys) mkdir sys; mount -t sysfs none sys; mount -t cgroup2 none sys/fs/cgroup || : ;;
	*)
		if [ -L "$path" ]; then
			cp -P "$path" .
		elif [ -d "$path" ]; then
			mkdir ".$path"; mount --rbind "$path" ".$path"
		fi ;;
	esac
done
chmod 1777 tmp
mkdir tree suites go-cache
mount --rbind "$3" tree
mount --bind "$4" suites
mount --bind "$GOCACHE" go-cache
export GOCACHE=/go-cache TORTURE_S=4 OPENRC_NETNS_INSTALLED=/suites/installed
unset OPENRC_NETNS_TABLE
pivot_root . .
umount -l .
cd /tree
`

func TestHosts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	tree, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin, caches := t.TempDir(), []string(nil)
	run := "failed=\n"
	for _, s := range slices {
		tests := s.all
		if testing.Short() {
			tests = s.short
		}
		if tests == "" {
			continue
		}
		program := strings.ReplaceAll(s.dir, "/", "-") + ".test"
		command(t, "go", "test", "-c", "-o", filepath.Join(bin, program), "../../"+s.dir)
		run += fmt.Sprintf("(cd %s && /suites/%s -test.timeout 10m -test.run '%s') || failed=\"$failed %s\"\n", s.dir, program, tests, s.dir)
	}
	run += `[ -z "$failed" ] || { echo "What failed:$failed"; exit 1; }`
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		caches = append(caches, name+"="+strings.TrimSpace(command(t, "go", "env", name)))
	}
	installed, remove, err := build.Installed()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if err := os.CopyFS(filepath.Join(bin, "installed"), os.DirFS(installed)); err != nil {
		t.Fatal(err)
	}
	for i, h := range hosts {
		if testing.Short() && i == 2 {
			break
		}
		t.Run(h.name, func(t *testing.T) {
			script := "set -e\n" + root + h.script + "\n" + run
			cmd := exec.Command("unshare", "--mount", "--propagation=private", "--cgroup", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", makeHost, "sh", t.TempDir(), script, tree, bin)
			cmd.Env = append(os.Environ(), caches...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// command runs a command that has to succeed, and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
