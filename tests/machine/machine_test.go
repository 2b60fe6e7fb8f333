package machine_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	if os.Getenv("HOLD_A_MACHINE") != "" {
		hold()
	}
	os.Exit(m.Run())
}

// hold is what TestKilledProgramLeavesNothing kills.
func hold() {
	m, err := machine.Start(machine.Options{})
	if err == nil {
		err = m.Run("setsid sleep 1000 & mkdir /sys/fs/cgroup/child; ip netns add left; mount -t tmpfs left /mnt").Err()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(m.PID())
	select {}
}

func TestServiceStartsAndStops(t *testing.T) {
	for _, opts := range []machine.Options{
		{Release: "sid", Shell: "dash"},
		{Release: "sid", Shell: "bash"},
		{Release: "sid", Shell: "busybox"},
		{Release: "trixie"},
		{Release: "bookworm"},
	} {
		t.Run(opts.Release+"/"+opts.Shell, func(t *testing.T) {
			m := kit.StartMachine(t, opts)
			if err := m.SSHD(); err != nil {
				t.Fatal(err)
			}
			started := kit.Sh(t, m, "rc-service sshd start")
			if want := "Starting sshd"; !strings.Contains(started, want) || strings.Contains(started, "already") {
				t.Errorf("start said %q", started)
			}
			status := kit.Sh(t, m, "rc-status")
			if !strings.Contains(status, "sshd") || !strings.Contains(status, "started") {
				t.Errorf("rc-status said %q", status)
			}
			kit.Sh(t, m, "rc-service sshd reload && rc-service sshd restart && kill -0 $(cat /run/sshd.pid)")
			kit.Sh(t, m, "rc-service sshd stop")
			if left := m.Run("pgrep -x sshd"); left.Code == 0 {
				t.Errorf("sshd still runs: %s", left.Output)
			}
			if status := m.Run("rc-service sshd status"); status.Code != 3 {
				t.Errorf("status of a stopped service is %d, not 3: %s", status.Code, status.Output)
			}
		})
	}
}

// On the oldest OpenRC the hierarchy is at another place; each puts a service
// into a cgroup that is the machine's own.
func TestServiceHasCgroup(t *testing.T) {
	for release, want := range map[string]string{"sid": "0::/openrc.sshd", "bookworm": "0::/sshd"} {
		t.Run(release, func(t *testing.T) {
			m := kit.StartMachine(t, machine.Options{Release: release})
			if m.Run("grep -q '^0::' /proc/self/cgroup").Code != 0 {
				t.Skip("no cgroup v2")
			}
			if err := m.SSHD(); err != nil {
				t.Fatal(err)
			}
			cgroup := kit.Sh(t, m, "rc-service -q sshd start; grep ^0: /proc/$(cat /run/sshd.pid)/cgroup")
			if cgroup != want {
				t.Errorf("sshd is in %q, not %q", cgroup, want)
			}
		})
	}
}

func TestSSHBetweenNamespaces(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{})
	if err := m.SSHD(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vpn", "peer"} {
		if err := m.AddNetns(name); err != nil {
			t.Fatal(err)
		}
	}
	vpn := machine.End{Netns: "vpn", Device: "vpn0", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}}
	peer := machine.End{Netns: "peer", Device: "peer0", Addrs: []string{"192.0.2.2/24", "2001:db8::2/64"}}
	if err := m.Veth(vpn, peer); err != nil {
		t.Fatal(err)
	}
	kit.Sh(t, m, "ip netns exec vpn rc-service sshd start")
	for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
		const ssh = "ip netns exec peer ssh -o LogLevel=ERROR -o BatchMode=yes -o StrictHostKeyChecking=no root@"
		got := kit.Sh(t, m, ssh+address+` 'echo $SSH_CONNECTION; ip netns id'`)
		if !strings.Contains(got, address+" 22") || !strings.Contains(got, "vpn") {
			t.Errorf("ssh to %s said %q", address, got)
		}
	}
	if outside := m.Run("ssh -o BatchMode=yes -o ConnectTimeout=5 root@127.0.0.1 true"); outside.Code == 0 {
		t.Error("sshd listens outside the namespace too")
	}
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

func TestRunIsOrdinary(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{})
	for script, want := range map[string]string{
		"env | cut -d= -f1 | sort | xargs": "HOME PATH PWD TERM",
		"pwd; umask; ulimit -Sn; hostname": "/\n0022\n1024\nopenrc",
		// GNU make leaves 32 and 33, the C library's own, ignored.
		"grep -e SigBlk -e SigIgn /proc/self/status | tr 18 00": "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000",
		"ls /proc/self/fd | xargs":                              "0 1 2 3", // 3 is the folder that ls reads
		"readlink /proc/self/fd/0":                              "/dev/null",
		"sed -n s/^0:://p /proc/self/cgroup":                    "/",
		"ip -o link | wc -l; ping -c1 127.0.0.1 2>&1":           "1\nsh: 1: ping: not found",
		"cat /run/openrc/softlevel; sort /etc/hosts":            "default127.0.0.1\tlocalhost openrc\n::1\tlocalhost",
		"head -c 4 /dev/zero | od -An -tx1; tty":                " 00 00 00 00\nnot a tty",
		"ls /dev | xargs; exec 2>&1; echo a > /dev/full": "console fd full net null ptmx pts random shm stderr stdin " +
			"stdout tty urandom zero\nsh: 1: echo: echo: I/O error",
	} {
		if got := m.Run(script); strings.Trim(got.Output, "\n") != want {
			t.Errorf("%s:\n%q, not\n%q", script, got.Output, want)
		}
	}
}

func TestRunReportsWhatBecameOfTheScript(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{Timeout: 10 * time.Second, Log: io.Discard})
	for _, test := range []struct {
		script string
		want   machine.Result
	}{
		{"echo out; echo err >&2; exit 7", machine.Result{Stdout: "out\n", Stderr: "err", Code: 7}},
		{"kill -TERM $$", machine.Result{Code: 143}},
		{"echo before; sleep 100", machine.Result{Stdout: "before\n", Code: 124}},
		{"setsid sleep 100 & echo left", machine.Result{Stdout: "left\n"}},
		{"yes >&2 & echo left", machine.Result{Stdout: "left\n"}},
		{"head -c 300000 /dev/zero | tr '\\0' x", machine.Result{Stdout: strings.Repeat("x", 300000)}},
	} {
		got := m.Run(test.script)
		got.Stderr = strings.Trim(got.Stderr, "y\n")
		if got.Stdout != test.want.Stdout || got.Stderr != test.want.Stderr || got.Code != test.want.Code {
			t.Errorf("%s: status %d, %.99q and %.99q", test.script, got.Code, got.Stdout, got.Stderr)
		}
		if (got.Err() == nil) != (test.want.Code == 0) {
			t.Errorf("%s: error %v", test.script, got.Err())
		}
	}
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

func TestPropagation(t *testing.T) {
	for _, shared := range []bool{false, true} {
		m := kit.StartMachine(t, machine.Options{Shared: shared})
		const private = `awk '$7 ~ /^shared:/ {n++} END {print n+0, NR}' /proc/self/mountinfo`
		var marked, all int
		fmt.Sscan(kit.Sh(t, m, private), &marked, &all)
		if want := map[bool]int{false: 0, true: all}[shared]; marked != want || all == 0 {
			t.Errorf("shared %v: %d of %d mounts are", shared, marked, all)
		}
	}
}

func TestFiles(t *testing.T) {
	m := kit.StartMachine(t, machine.Options{})
	// A link to an absolute path must not lead to the host's file of that name.
	kit.Sh(t, m, "mkdir /srv/real; ln -s /srv/real /srv/link")
	const name = "/srv/link/new/file"
	if err := m.WriteFile(name, os.ModeSetuid|0o751, "content"); err != nil {
		t.Fatal(err)
	}
	if got := kit.Sh(t, m, "stat -c '%a %U' /srv/real/new/file"); got != "4751 root" {
		t.Errorf("file has %q", got)
	}
	if _, err := os.Stat("/srv/real"); err == nil {
		t.Error("the host has the file")
	}
	if got, err := m.ReadFile(name); got != "content" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := m.ReadFile("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read what is not there: %v", err)
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

func TestCloseLeavesTheHostAsItWas(t *testing.T) {
	kit.Require(t)
	before := host(t)
	m, err := machine.Start(machine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	traces := tracesOf(t, m.PID())
	if len(traces()) == 0 {
		t.Error("a running machine leaves no traces")
	}
	kit.Sh(t, m, "ip netns add left; mkdir -p /sys/fs/cgroup/a/b; mount -t tmpfs left /mnt; setsid sleep 1000 &")
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if left := traces(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if after := host(t); after != before {
		t.Errorf("the host was\n%s and is\n%s", before, after)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second close: %v", err)
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

func TestKilledProgramLeavesNothing(t *testing.T) {
	kit.Require(t)
	if _, err := machine.Root(t.Context(), "sid"); err != nil {
		t.Fatal(err)
	}
	before := host(t)
	program := exec.Command("/proc/self/exe")
	program.Env = append(os.Environ(), "HOLD_A_MACHINE=1")
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("no machine: %s", line)
	}
	traces := tracesOf(t, pid)
	program.Process.Kill()
	program.Wait()
	for deadline := time.Now().Add(30 * time.Second); len(traces()) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if left := traces(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if after := host(t); after != before {
		t.Errorf("the host was\n%s and is\n%s", before, after)
	}
}

// host is what no machine may change: the host's mounts, devices and routes, and
// the name of a namespace that machines here have.
func host(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cat /proc/self/mountinfo; hostname; ip -o link; ip route show table all
		ls -la --time-style=full-iso /etc; ls /run/netns/left 2>&1; true`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tracesOf takes note of what makes the machine with this PID 1, and returns a
// function that lists how much of it is left: processes in its namespaces, its
// keeper, its cgroup.
func tracesOf(t *testing.T, pid int) func() []string {
	t.Helper()
	namespaces := make(map[string]bool)
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc"} {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, kind)
		name, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		namespaces[name] = true
		open, err := os.Open(path) // a namespace that is open shares its name with no later one
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { open.Close() })
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	keeper := filepath.Join("/proc", strings.Fields(string(stat))[3])
	var cgroup string
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(content)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			mounted, _ := exec.Command("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").Output()
			if len(mounted) > 0 {
				cgroup = filepath.Join(strings.Fields(string(mounted))[0], path)
			}
		}
	}
	return func() (left []string) {
		links, _ := filepath.Glob("/proc/[0-9]*/ns/*")
		for _, link := range links {
			if name, _ := os.Readlink(link); namespaces[name] {
				left = append(left, link+" is "+name)
			}
		}
		if _, err := os.Readlink(filepath.Join(keeper, "exe")); err == nil { // no zombie
			left = append(left, keeper)
		}
		if _, err := os.Stat(cgroup); err == nil {
			left = append(left, cgroup)
		}
		return left
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
