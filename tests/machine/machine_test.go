package machine_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

func TestMachinesAreFreshAndApart(t *testing.T) {
	one, other := kit.StartMachine(t, machine.Options{}), kit.StartMachine(t, machine.Options{})
	kit.Sh(t, one, `touch /etc/mark /tmp/mark /run/mark /dev/shm/mark; rm -r /etc/init.d; ip netns add mark
		ip link add mark type veth peer name mark2; mkdir /sys/fs/cgroup/mark; hostname mark; mount -t tmpfs mark /mnt`)
	for what, script := range map[string]string{
		"a file":       "ls -d /*/mark /dev/shm/mark 2>&1 | grep -v 'cannot access'",
		"a removal":    "! ls /etc/init.d",
		"a namespace":  "ip netns | grep .",
		"a device":     "ip link show mark 2>&1 | grep -v 'not exist'",
		"a cgroup":     "ls -d /sys/fs/cgroup/mark 2>&1 | grep -v 'cannot access'",
		"the hostname": "hostname | grep mark",
		"a mount":      "grep mark /proc/self/mountinfo",
		"a process":    "ps -A -o comm= | grep -v -e machine-init -e sh -e ps -e grep",
	} {
		if seen := other.Run(script); seen.Code == 0 {
			t.Errorf("the other machine sees %s: %s", what, seen.Output)
		}
	}
	kit.StartMachine(t, machine.Options{})
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

func TestInstall(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{})
	tree := t.TempDir()
	fill := exec.Command("sh", "-ec", `umask 077; mkdir -p sbin etc/init.d
		echo '#!/bin/sh' >sbin/tool; chmod 755 sbin/tool; ln -s tool sbin/link; chown 7:7 sbin/tool`)
	fill.Dir = tree
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const folders = "stat -c '%n %a %F' / /etc /etc/init.d /sbin"
	before := kit.Sh(t, m, folders)
	if err := m.Install(tree); err != nil {
		t.Fatal(err)
	}
	if after := kit.Sh(t, m, folders); after != before {
		t.Errorf("folders were\n%s and are\n%s", before, after)
	}
	got := kit.Sh(t, m, "link; stat -c '%a %u %N' /usr/sbin/tool /usr/sbin/link")
	if want := "755 0 '/usr/sbin/tool'\n777 0 '/usr/sbin/link' -> 'tool'"; got != want {
		t.Errorf("installed %q, not %q", got, want)
	}
	if err := m.Install(filepath.Join(tree, "nowhere")); err == nil {
		t.Error("installing a folder that is not there is no error")
	}
}

func TestCloseTellsWhatIsLeft(t *testing.T) {
	kit.Require(t)
	m, err := machine.Start(machine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Not in the machine's PID namespace, it does not end with it.
	guest := exec.Command("nsenter", "-t", fmt.Sprint(m.PID()), "-n", "sh", "-c", "echo inside; exec sleep 1000")
	stdout, err := guest.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(stdout).ReadString('\n')
	err = m.Close()
	guest.Process.Kill()
	guest.Wait()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in its namespaces: %d (", guest.Process.Pid)) {
		t.Errorf("close with a process left: %v", err)
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
