package machine_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

func TestMain(m *testing.M) {
	machine.Init()
	os.Exit(m.Run())
}

// What makes a busy host of OpenRC 0.56 miss the end of a script is made to
// happen: fork(2) returns late.
func TestMissedEndOfAScript(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{Release: "trixie", Timeout: time.Minute})
	if err := m.WriteFile("/etc/init.d/quick", 0o755, "#!/sbin/openrc-run\nstart() { echo ran; }\n"); err != nil {
		t.Fatal(err)
	}
	kit.Sh(t, m, "rc-update -u")
	out := kit.Sh(t, m, "strace -o /run/strace -e trace=clone -e inject=clone:delay_exit=1000000:when=1 rc-service quick start; cat /run/strace; ls /run/openrc/started")
	for _, want := range []string{"ran\n", "DELAYED", "\nquick"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// Of what services find by name, all is busybox but for OpenRC itself.
func TestBusyboxAlone(t *testing.T) {
	kit.Require(t)
	const legacy = "name=machine-"
	hierarchy := ""
	for cgroups, want := range map[string]string{
		"": "cgroup2 /sys/fs/cgroup", "none": "", "v1": "cgroup /sys/fs/cgroup/openrc",
	} {
		t.Run("cgroups "+cgroups, func(t *testing.T) {
			m := kit.StartMachine(t, machine.Options{Shell: "busybox", Alone: true, Cgroups: cgroups})
			found := kit.Sh(t, m, "find /bin /sbin /usr/bin /usr/sbin -type f | sed 's,.*/,,' | sort | xargs")
			kit.Equal(t, "programs", found, "busybox openrc openrc-init openrc-run openrc-shutdown rc-environ rc-service rc-status rc-update supervise-daemon")
			kit.Equal(t, "shell", kit.Sh(t, m, "readlink /proc/$$/exe"), "/bin/busybox")
			kit.Equal(t, "cgroups", kit.Sh(t, m, `awk '$3 ~ /^cgroup/ { print $3, $2 }' /proc/mounts`), want)
			if cgroups == "v1" {
				hierarchy = kit.Sh(t, m, "mkdir -p /sys/fs/cgroup/openrc/left/below; sed -n 's/.*cgroup .*,\\("+legacy+"[0-9a-f]*\\).*/\\1/p' /proc/mounts")
				if !strings.HasPrefix(hierarchy, legacy) {
					t.Errorf("the hierarchy of cgroup v1 is %q", hierarchy)
				}
			}
		})
	}
	// The kernel takes a moment to forget a hierarchy.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if table, _ := os.ReadFile("/proc/self/cgroup"); !strings.Contains(string(table), hierarchy) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%s outlives its machine:\n%s", hierarchy, table)
		}
	}
}
