package openrc

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
)

// The lines in the host's resolv.conf and in that of vpn, in the tests of repair.
const (
	hostsServer = "nameserver 192.0.2.1"
	vpnsServer  = "nameserver 192.0.2.53"
)

// replace is what a DHCP client does on the host.
const replace = "cp /etc/resolv.conf /etc/resolv.new; mv /etc/resolv.new /etc/resolv.conf; "

// bootResolved starts a machine on which vpn has a resolv.conf of its own.
func bootResolved(t *testing.T) *host {
	t.Helper()
	h := boot(t, "dash", true)
	h.Write("/etc/resolv.conf", hostsServer+"\n")
	h.Write("/etc/netns/vpn/resolv.conf", vpnsServer+"\n")
	return h
}

// sees asserts which resolv.conf a process sees.
func (h *host) sees(pid, want string) {
	h.T.Helper()
	kit.Equal(h.T, "resolv.conf of process "+pid, h.Sh("cat /proc/"+pid+"/root/etc/resolv.conf"), want)
}

// repairs asserts the exit status of repair, and the lines that it prints.
func (h *host) repairs(code int, args string, want ...string) {
	h.T.Helper()
	result := h.Run("rc-netns repair " + args)
	lines := strings.Join(append(want, ""), "\n")
	kit.Equal(h.T, "repair "+args, fmt.Sprint(result.Code, "\n", result.Output), fmt.Sprint(code, "\n", lines))
}

// mountsOf counts what is mounted for a process.
func (h *host) mountsOf(pid string) string {
	h.T.Helper()
	return h.Sh("wc -l </proc/" + pid + "/mountinfo")
}

// A file that the host has replaced is bound again in the running daemon, which
// does not notice, and nowhere else.
func TestRepairEtc(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start")
	pid := h.daemon()
	mounted, host := h.mountsOf(pid), h.Sh("cat /proc/1/mountinfo")
	h.repairs(0, "")
	h.Sh(replace)
	h.sees(pid, hostsServer)
	bound := "/etc/resolv.conf bound again in process " + pid + " (sleeper)"
	h.repairs(0, "--dry-run daemon", "daemon: would be repaired: "+bound)
	h.sees(pid, hostsServer)
	h.repairs(0, "daemon", "daemon: "+bound)
	h.sees(pid, vpnsServer)
	h.repairs(0, "daemon")
	kit.Equal(t, "daemon", h.daemon(), pid)
	kit.Equal(t, "the host's", h.Sh("cat /etc/resolv.conf"), hostsServer)

	// It is the file that vpn has by now, and nothing is left of the old one.
	const other = "nameserver 192.0.2.54"
	h.Sh("cd /etc/netns/vpn; echo " + other + " >new; mv new resolv.conf")
	h.sees(pid, vpnsServer)
	h.repairs(0, "--quiet")
	h.sees(pid, other)
	kit.Equal(t, "mounts of the daemon", h.mountsOf(pid), mounted)
	kit.Equal(t, "mounts of the host", h.Sh("cat /proc/1/mountinfo"), host)

	// What the start refuses, repair does; and a service without a namespace of
	// its own is none of its business.
	h.Sh("rm /etc/resolv.conf")
	h.repairs(1, "daemon",
		`rc-netns: repair: daemon: cannot bind "/etc/netns/vpn/resolv.conf" over "/etc/resolv.conf", which does not exist; create it, or remove /etc/netns/vpn/resolv.conf`)
	h.fixed("daemon", "files", "it sees no /etc/resolv.conf", "ok")
	h.sees(pid, other)
	for args, want := range map[string]string{
		"plain":   `service "plain" is not confined: /etc/conf.d sets none of netns, vrf and netns_lock for it`,
		"nosuch":  `unknown service "nosuch": there is no /etc/init.d/nosuch`,
		"--frob":  `unknown flag: --frob; see: rc-netns --help`,
		"../../x": `bad service name "../../x"`,
	} {
		h.repairs(125, args, "rc-netns: repair: "+want)
	}
	result := h.Run("setpriv --reuid nobody --regid nogroup --clear-groups rc-netns repair")
	kit.Contains(t, result.Stderr, "rc-netns: repair: ")
	kit.Equal(t, "without root", fmt.Sprint(result.Code), "125")

	// What takes a restart.
	h.Sh("ip netns add mgmt")
	h.Conf("daemon", "netns=mgmt")
	h.repairs(1, "",
		`rc-netns: repair: daemon: it was started in network namespace "vpn", but its settings now put it in network namespace "mgmt"; fix it with: rc-service daemon restart`)
	h.repairs(0, "--quiet")
	h.Conf("daemon", "netns=vpn")

	// The files of a name belong to the namespace that has it.
	h.Write("/etc/resolv.conf", hostsServer+"\n")
	h.Sh("ip netns delete vpn; ip netns add vpn; " + replace)
	kit.Contains(t, h.Fails("rc-netns repair daemon"), `the name "vpn" leads to a different network namespace than at the start; fix it with: rc-service daemon restart`)
	h.sees(pid, hostsServer)
	h.Sh("rc-service daemon stop")
	h.repairs(0, "daemon")
}

// A service has as many views as its processes have mount namespaces, and only
// its own are touched.
func TestRepairViews(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	const mgmts = "nameserver 192.0.2.54"
	h.Write("/etc/netns/mgmt/resolv.conf", mgmts+"\n")
	h.Sh("ip netns add mgmt; mkdir -p /srv/jail/etc /srv/jail/usr; cp -d /bin /lib* /srv/jail; mount --bind /usr /srv/jail/usr; echo jail >/srv/jail/etc/resolv.conf")
	h.Conf("daemon", "netns=mgmt")
	h.Conf("family", "netns=vpn")
	h.Write("/usr/local/bin/family", `#!/bin/sh
unshare --mount sleeper 1001 &
unshare --mount --root /srv/jail sleeper 1002 &
unshare --mount sh -c 'umount -l /sys; exec sleeper 1005' &
(unshare --mount setsid sleeper 1006 &)
nsenter --mount=/proc/1/ns/mnt sleeper 1003 &
nsenter --mount=/proc/$(cat /run/daemon.pid)/ns/mnt sleeper 1004 &
exec sleeper 1000
`)
	h.Sh("sed s,bin/sleeper,bin/family, /etc/init.d/daemon >/etc/init.d/family; chmod 755 /etc/init.d/family; rc-service daemon start; rc-service family start")
	pid := func(argument string) string {
		t.Helper()
		return h.Await("pgrep -fx '[^ ]*sleeper " + argument + "'")
	}
	main, worker, jailed, host, guest, other, maker, orphan := pid("1000"), pid("1001"), pid("1002"), pid("1003"), pid("1004"), pid("3600"), pid("1005"), pid("1006")
	h.Sh(replace)
	views := []string{main, worker, jailed, host, guest, other, maker, orphan}
	see := func(want ...string) {
		t.Helper()
		for i, pid := range views {
			h.sees(pid, want[i])
		}
	}
	see(hostsServer, hostsServer, "jail", hostsServer, hostsServer, hostsServer, hostsServer, hostsServer)
	result := h.Run("rc-netns repair family")
	for _, pid := range []string{main, worker, orphan} {
		kit.Contains(t, result.Stdout, "family: /etc/resolv.conf bound again in process "+pid+" (sleeper)\n")
	}
	kit.Contains(t, result.Stdout, "family: process "+jailed+" (sleeper) has another root directory: its /etc is left alone\n")
	kit.Equal(t, "lines", fmt.Sprint(strings.Count(result.Stdout, "\n")), "4")
	kit.Equal(t, "the rest", fmt.Sprint(result.Code, " ", result.Stderr),
		"1 rc-netns: repair: family: it sees the host's /etc/resolv.conf and not /etc/netns/vpn/resolv.conf; fix it with: rc-service family restart\n")
	see(vpnsServer, vpnsServer, "jail", hostsServer, hostsServer, hostsServer, hostsServer, vpnsServer)
	kit.Contains(t, h.Run("rc-netns repair").Stdout, "daemon: /etc/resolv.conf bound again in process "+other+" (sleeper)")
	see(vpnsServer, vpnsServer, "jail", hostsServer, mgmts, mgmts, hostsServer, vpnsServer)
	// What it has made for itself is not bound in, and is named all the same.
	h.Sh("kill " + host + " " + guest)
	h.repairs(1, "family", "family: process "+jailed+" (sleeper) has another root directory: its /etc is left alone",
		"rc-netns: repair: family: it sees the host's /etc/resolv.conf and not /etc/netns/vpn/resolv.conf; fix it with: rc-service family restart")
}

// What a daemon reads while the host replaces its file: the host's from then on
// until it is repaired, and never after. Where /etc/resolv.conf is a link, never.
func TestRepairWindow(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("reader", "netns=vpn")
	h.Write("/usr/local/bin/reader", `#!/bin/sh
n=0
while :; do
	read -r line </etc/resolv.conf
	if [ "$line" != "$last" ]; then
		echo "$line" >>/run/read
		last=$line
	fi
	n=$((n + 1))
	[ $((n % 100)) != 0 ] || echo $n >/run/reads
done
`)
	h.Sh("sed s,bin/sleeper,bin/reader, /etc/init.d/daemon >/etc/init.d/reader; chmod 755 /etc/init.d/reader; rc-service reader start")
	// More reads than it takes to see a change.
	const reads = "n=$(cat /run/reads); until [ $(cat /run/reads) -ge $((n + 300)) ]; do sleep 0.1; done"
	h.Await("[ -e /run/reads ]")
	read := func(what string, want ...string) {
		t.Helper()
		h.Sh(reads)
		kit.Equal(t, what, h.Sh("cat /run/read"), strings.Join(want, "\n"))
	}
	read("as it was started", vpnsServer)
	h.Sh(replace)
	read("the file was replaced", vpnsServer, hostsServer)
	h.Sh("rc-netns repair --quiet")
	read("it was repaired", vpnsServer, hostsServer, vpnsServer)

	h.Sh("rc-service reader stop; rm /run/read /run/reads; mkdir /run/r; mv /etc/resolv.conf /run/r; ln -s /run/r/resolv.conf /etc; rc-service reader start; until [ -e /run/reads ]; do sleep 0.1; done")
	read("as it was started", vpnsServer)
	h.Sh("cp /run/r/resolv.conf /run/r/new; mv /run/r/new /run/r/resolv.conf")
	read("what the link leads to was replaced", vpnsServer)
	h.repairs(0, "")
	// Nor is there a moment without any where vpn's own file was replaced.
	const other = "nameserver 192.0.2.54"
	h.Sh("cd /etc/netns/vpn; echo " + other + " >new; mv new resolv.conf")
	read("vpn's file was replaced", vpnsServer)
	h.Sh("rc-netns repair --quiet")
	read("it was repaired", vpnsServer, other)
}

// A network namespace that services live on in gets its name again, by what is on
// record of it, and nothing that has the name by now loses it.
func TestRepairName(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start")
	inside, pid := h.inside(), h.daemon()
	const named = `daemon: its network namespace has the name "vpn" again`
	h.Sh("ip netns delete vpn")
	h.repairs(0, "-n", "daemon: would be repaired: its network namespace has the name \"vpn\" again")
	kit.Equal(t, "names", h.names(), "")
	h.Sh(replace)
	h.repairs(0, "", named, "daemon: /etc/resolv.conf bound again in process "+pid+" (sleeper)")
	kit.Equal(t, "vpn", h.inside(), inside)

	// An empty file is what an umount leaves; one that is not is somebody's.
	h.Sh("umount /run/netns/vpn")
	h.fixed("daemon", "stale", `the name "vpn" was deleted`, "ok")
	kit.Equal(t, "vpn", h.inside(), inside)
	h.Sh("umount /run/netns/vpn; echo mine >/run/netns/vpn")
	h.repairs(1, "", `rc-netns: repair: daemon: the name "vpn" was deleted since the start, and the service runs on in the network namespace that had it`)
	kit.Equal(t, "file", h.Sh("cat /run/netns/vpn"), "mine")
	h.Sh("rm /run/netns/vpn")

	// Where a restart is due too, the name comes first.
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.fixed("daemon", "sockets", "", "ok")
	kit.Equal(t, "vpn", h.inside(), inside)
}

// What is bound in a service must not appear in the host's mounts.
func TestRepairBindsNothingElsewhere(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start")
	pid := h.daemon()
	h.Sh("nsenter -t " + pid + " -m sh -c 'umount /etc/resolv.conf; mount --bind /etc /etc; mount --make-shared /etc'")
	mounted := h.mountsOf(pid)
	kit.Contains(t, h.Fails("rc-netns repair daemon"), `daemon: "/etc/resolv.conf" is on a mount that is shared: `)
	kit.Equal(t, "mounts", h.mountsOf(pid), mounted)
	h.Sh("nsenter -t " + pid + " -m mount --make-private /etc; rc-netns repair daemon")
	h.sees(pid, vpnsServer)
}

// The program and the processes of a cgroup, which no other one gets.
func TestRepairCgroup(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service daemon start")
	pid := h.daemon()
	const cgroup = "/sys/fs/cgroup/openrc.daemon"
	leave := "echo " + pid + " >/sys/fs/cgroup/cgroup.procs; "
	would := func(line string) string { return strings.Replace(line, "daemon: ", "daemon: would be repaired: ", 1) }
	const attached = "daemon: BPF program attached again to its cgroup /openrc.daemon"
	const restart = ": new sockets are not bound; fix it with: rc-service daemon restart"
	locked := func() {
		t.Helper()
		h.says("daemon", "ok", "")
		kit.Equal(t, "cgroup", h.Sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"), "/openrc.daemon")
		kit.Equal(t, "programs", h.Sh("probe programs "+cgroup), "openrc_netns CGroupSock, 16 instructions")
		kit.Equal(t, "daemon", h.daemon(), pid)
	}
	locked()
	h.Sh(leave + "rmdir " + cgroup + "; mkdir " + cgroup + "; echo " + pid + " >" + cgroup + "/cgroup.procs")
	h.repairs(0, "-n", would(attached))
	h.repairs(0, "", attached)
	locked()
	// One that has left stays where it is, and nothing is made for it.
	h.Sh(leave)
	left := "process " + pid + " (sleeper) is not in its cgroup /openrc.daemon"
	h.repairs(1, "", "rc-netns: repair: daemon: "+left+restart)
	h.Sh("rmdir " + cgroup)
	kit.Contains(t, h.Run("rc-netns repair").Stderr, left+restart)
	h.Sh("[ ! -e " + cgroup + " ]")

	// Neither one that is not its own, nor one of settings that the start did
	// not have.
	h.Sh("mkdir /sys/fs/cgroup/shared; echo " + pid + " >/sys/fs/cgroup/shared/cgroup.procs; sed -i 3s,.*,/shared, /run/openrc/options/daemon/netns")
	h.repairs(1, "", "rc-netns: repair: daemon: no BPF program of ours is on its cgroup /shared"+restart)
	kit.Equal(t, "programs", h.Sh("probe programs /sys/fs/cgroup/shared"), "")
	h.Sh("mkdir " + cgroup + "; echo " + pid + " >" + cgroup + "/cgroup.procs; rmdir /sys/fs/cgroup/shared; sed -i 3s,.*,/openrc.daemon, /run/openrc/options/daemon/netns")
	h.Conf("daemon", "netns=vpn", "netns_lock=yes", "netns_keep_caps=mknod")
	h.repairs(1, "", "rc-netns: repair: daemon: no BPF program of ours is on its cgroup /openrc.daemon"+restart)
	kit.Equal(t, "programs", h.Sh("probe programs "+cgroup), "")
	h.Sh("rc-service daemon stop")
	h.repairs(0, "")
}

// What only says that it is of the service is shown, and let alone: a pidfile that
// the service's user writes, a cgroup that root inside can write to, the name and
// directory of a process in mounts of its own.
func TestRepairBelievesNobody(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service daemon restart")
	pid := h.daemon()
	h.Sh("exec >/run/log 2>&1; /usr/local/bin/sleeper 4001 & /usr/local/bin/sleeper 4002 & echo $! >/sys/fs/cgroup/openrc.daemon/cgroup.procs; unshare --mount /usr/local/bin/sleeper 4003 &")
	h.Await("[ $(pgrep -xc sleeper) = 4 ]")
	of := func(argument string) string { return h.Sh("pgrep -fx '[^ ]*sleeper " + argument + "'") }
	bystander, joined, private := of("4001"), of("4002"), of("4003")
	// As any local user could: an s6-supervise of the service, with a child.
	h.Write("/run/fake", `#!/bin/sh
mount -t tmpfs none /run; mkdir -p /run/openrc/s6-services/daemon; cd /run/openrc/s6-services/daemon
cp /bin/sleep ./s6-supervise; printf s6-supervise >/proc/self/comm; /usr/local/bin/sleeper 4004 & wait
`)
	h.Sh("exec >/run/log 2>&1; setpriv --reuid nobody --regid nogroup --clear-groups unshare -Urm sh /run/fake &")
	h.Await("pgrep -fx '[^ ]*sleeper 4004'")
	states := func() string {
		return h.Sh("for pid in " + strings.Join([]string{bystander, joined, private, of("4004")}, " ") + `; do
			cat /proc/$pid/cgroup /proc/$pid/mountinfo; done`)
	}
	before := states()
	for _, claim := range []string{bystander, private} {
		h.Sh(replace + "echo " + claim + " >/run/daemon.pid")
		h.Run("rc-netns repair")
		kit.Equal(t, "the others", states(), before)
		h.sees(pid, vpnsServer)
		report, code := h.statusJSON("", "daemon")
		kit.Equal(t, "status", fmt.Sprint(code, " ", report.Services[0].Verdict), "1 outside")
		kit.Equal(t, "remedy", report.Services[0].Remedy, "") // a restart would end who is named
		claimed := map[string]bool{}
		for _, p := range report.Services[0].Processes {
			claimed[fmt.Sprint(p.PID)] = p.Claimed
		}
		kit.Equal(t, "claimed", fmt.Sprint(claimed), fmt.Sprint(map[string]bool{pid: false, joined: true, claim: true}))
	}
}

// A process of the service that has gone into a chroot of the very root directory
// sees other files there, which only a restart changes.
func TestRepairInAChroot(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; exec >/run/log 2>&1; nsenter -t $(cat /run/daemon.pid) -m -n sh -c 'mkdir /run/bare; mount --bind / /run/bare; mount --bind /run /run/bare/run; exec chroot /run/bare /usr/local/bin/sleeper 4001' &")
	h.Await("pgrep -fx '[^ ]*sleeper 4001'")
	kit.Equal(t, "remedy", h.says("daemon", "files", "it sees the host's /etc/resolv.conf"), "rc-service daemon restart")
	h.repairs(1, "", "rc-netns: repair: daemon: it sees the host's /etc/resolv.conf and not /etc/netns/vpn/resolv.conf; fix it with: rc-service daemon restart")
	h.Sh("pkill -fx '[^ ]*sleeper 4001'")
	h.says("daemon", "ok", "")
	// With more of them than are looked at, it cannot be said that all is well.
	h.Sh("exec >/run/log 2>&1; for i in $(seq 40); do sh -c 'echo $$ >/sys/fs/cgroup/openrc.daemon/cgroup.procs; exec nsenter -t $(cat /run/daemon.pid) -m -n unshare --mount /usr/local/bin/sleeper 4002' & done")
	h.Await("[ $(pgrep -fxc '[^ ]*sleeper 4002') = 40 ]")
	kit.Contains(t, h.Run("rc-netns status daemon; echo $?").Stdout, "mount namespaces, or a cgroup with too long a path\n1\n")
}

// Nobody keeps repair of others waiting: not who locks a file that he may only read,
// nor a service whose mounts do not answer. And what only looks opens nothing but
// what it is to read.
func TestRepairWaitsForNobody(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Sh("mount -t devtmpfs none /dev 2>/dev/null; ln -s daemon /etc/init.d/daemon.two; echo netns=vpn >/etc/conf.d/daemon; rc-service daemon start; rc-service daemon.two start")
	one, two := h.Sh("cat /run/daemon.pid"), h.Sh("cat /run/daemon.two.pid")
	within := func(code int, command string) string {
		t.Helper()
		result := h.Run("timeout -s KILL 60 rc-netns " + command)
		kit.Equal(t, command, fmt.Sprint(result.Code), fmt.Sprint(code))
		return result.Output
	}
	h.Sh("exec >/run/log 2>&1; for f in /run/openrc/options/*/netns; do setpriv --reuid nobody --regid nogroup --clear-groups flock $f sleep 600 & done; sleep 0.5; ! flock -n /run/openrc/options/daemon/netns true")
	h.Sh(replace)
	within(0, "repair")
	h.sees(one, vpnsServer)
	h.sees(two, vpnsServer)
	h.Sh(replace + fuse + " " + one + " /proc reads")
	kit.Contains(t, within(1, "repair"), "repair: daemon: the file systems of the service do not answer")
	h.sees(two, vpnsServer)

	h.Sh(`mkfifo /run/victim; (echo important >/run/victim; echo $? >/run/wrote) >/run/log 2>&1 &
		ln -s /run/victim /run/netns/victim; mkdir -p /run/openrc/options/ghost /run/openrc/options/fifo; ln -s /nowhere /run/openrc/options/ghost/netns; ln -s /run/victim /run/openrc/options/fifo/netns
		ln -s /run/victim /etc/conf.d/plain; for i in $(seq 400); do touch /run/netns/stale$i; done`)
	kit.Contains(t, within(1, "status"), "daemon.two ")
	within(0, "repair -n")
	within(0, "egress")
	// A name may lead through the mounts of a service.
	h.Sh(fuse + " " + two + " /mnt; ln -s /proc/" + two + "/root/mnt/x/ns /run/netns/evil")
	kit.Contains(t, within(1, "status"), "daemon.two ")
	within(0, "repair -n")
	within(0, "egress")
	kit.Equal(t, "who writes to a FIFO", h.Sh("[ ! -e /run/wrote ]; cat /run/victim"), "important")
	// The kernel waits for an automounter before there is a file system to be seen.
	if !strings.Contains(h.Sh("cat /proc/filesystems"), "\tautofs\n") {
		t.Skip("this kernel has no autofs, the rest passed")
	}
	h.Sh("exec >/run/log 2>&1; " + `perl -e '$^F = 255; setpgrp; pipe R, W; $g = getpgrp;
		system("nsenter -t ` + two + ` -m mount -i -t autofs -o fd=" . fileno(W) . ",pgrp=$g,minproto=5,maxproto=5,direct none /etc"); open P, ">/run/auto"; close P; sysread R, $x, 1; open P, ">/run/asked"; sleep 600' &
		until [ -e /run/auto ]; do sleep 0.1; done; setsid nsenter -t ` + two + ` -m ls /etc/x & until [ -e /run/asked ]; do sleep 0.1; done`)
	kit.Contains(t, within(1, "status"), "keep waiting who does")
	within(0, "repair -n")
	within(1, "egress")
}

// Whatever keeps a look waiting, beyond SIGKILL perhaps, it ends and says so.
func TestLooksEnd(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("mount -t devtmpfs none /dev 2>/dev/null; " + fuse + " 1 /run/netns reads")
	h.Sh(`exec >/run/log 2>&1; for look in status repair; do (rc-netns $look >/run/said.$look 2>&1; echo $? >/run/code.$look) & done`)
	for _, look := range []string{"status", "repair"} {
		kit.Equal(t, look, h.Await("cat /run/code."+look+" /run/said."+look), "125\nrc-netns: "+look+": not done in 1m0s: somebody keeps those waiting who look")
	}
}

// A process whose first thread has ended is one still.
func TestHeadless(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Write("/etc/init.d/headless", `#!/sbin/openrc-run
command="$(command -v probe)"
command_args=headless
command_background=yes
pidfile=/run/headless.pid
`)
	h.Conf("headless", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service headless start")
	h.Await("grep -q '^State:.Z' /proc/$(cat /run/headless.pid)/status")
	h.says("headless", "ok", "")
	kit.Contains(t, h.Sh("rc-netns egress"), "headless")
	inside := h.inside()
	h.Sh("ip netns delete vpn")
	h.repairs(0, "-n", `headless: would be repaired: its network namespace has the name "vpn" again`)
	h.fixed("headless", "stale", "", "ok")
	kit.Equal(t, "vpn", h.inside(), inside)

	h.Sh("exec >/run/log 2>&1; sh -c 'echo $$ >/sys/fs/cgroup/openrc.headless/cgroup.procs; exec probe headless' & echo $! >/run/outside")
	h.Await("grep -q '^State:.Z' /proc/$(cat /run/outside)/status")
	report, code := h.statusJSON("", "headless")
	kit.Equal(t, "status", fmt.Sprint(code, " ", report.Services[0].Verdict), "1 outside")
	// Nor is it hidden by those that are to be seen that one forks and ends all the time.
	h.Sh("kill $(cat /run/outside); exec >/run/log 2>&1; sh -c 'echo $$ >/sys/fs/cgroup/openrc.headless/cgroup.procs; exec perl -e \"fork and exit while 1\"' &")
	for range 3 {
		if report, code := h.statusJSON("", "headless"); code != 1 {
			t.Errorf("%+v", report)
		}
	}
	h.Sh("echo 1 >/sys/fs/cgroup/openrc.headless/cgroup.kill; rc-service headless stop")

	// Nor is one nothing that is another one whenever somebody looks.
	h.Write("/etc/init.d/fleeing", `#!/sbin/openrc-run
start() { perl -e 'fork and exit while 1' & }
`)
	h.Conf("fleeing", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service fleeing start")
	for range 3 {
		report, code := h.statusJSON("", "fleeing")
		if code == 0 && len(report.Services[0].Processes) == 0 {
			t.Errorf("%+v", report)
		}
	}
	h.Sh("echo 1 >/sys/fs/cgroup/openrc.fleeing/cgroup.kill")
}

// A pidfile that another user may write is a claim, beside a daemon or without one.
func TestStatusBelievesNoPidfile(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service daemon start")
	h.killDaemon()
	h.Sh("exec >/run/log 2>&1; /usr/local/bin/sleeper 4001 & echo $! >/run/daemon.pid")
	kit.Equal(t, "of root's pidfile", h.says("daemon", "outside", "(sleeper) is on the host's network"), "rc-service daemon restart")
	h.Sh("pid=$(cat /run/daemon.pid); printf '\n%s.5 x\n' $pid >/run/daemon.pid; chown nobody /run/daemon.pid") // OpenRC reads %d
	report, code := h.statusJSON("", "daemon")
	kit.Equal(t, "of another's", fmt.Sprint(code, report.Services[0].Verdict, report.Services[0].Remedy), "1outside")
	h.Sh("pkill -x sleeper; exec >/run/log 2>&1; sh -c 'echo $$ >/sys/fs/cgroup/openrc.daemon/cgroup.procs; exec unshare -n /usr/local/bin/sleeper 4002' &")
	h.Await("pgrep -fx '[^ ]*sleeper 4002'")
	h.Sh("echo 999999 >/run/daemon.pid")
	h.says("daemon", "stopped", "")
	h.Sh("ln -sf /proc/sys/kernel/pid_max /run/daemon.pid")
	h.says("daemon", "unknown", "")
}

// Many at once, while the host replaces the file and the daemon is restarted,
// get in nobody's way.
func TestRepairTogether(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service daemon start")
	mounted := h.mountsOf(h.daemon())
	// Each bind is made once.
	h.Sh("for i in $(seq 10); do " + replace + "for j in $(seq 8); do rc-netns repair & done >/run/output; wait; done")
	kit.Equal(t, "mounts", h.mountsOf(h.daemon()), mounted)
	h.Sh(`for i in 1 2 3 4; do
			while [ ! -e /run/done ]; do rc-netns repair >/dev/null 2>>/run/errors.$i; done &
		done
		for i in 1 2 3 4 5 6; do
			for j in 1 2 3 4 5; do
				` + replace + `
			done
			rc-service daemon restart >/run/output 2>&1
		done
		touch /run/done
		wait`)
	// What one of them cannot do another has done, or status says it.
	kit.Equal(t, "errors", h.Sh("cat /run/errors.* | grep -v ': it sees the host.s /etc/resolv.conf' || :"), "")
	h.Sh("rc-netns repair")
	h.says("daemon", "ok", "")
	pid := h.daemon()
	h.sees(pid, vpnsServer)
	kit.Equal(t, "mounts", h.mountsOf(pid), mounted)
	h.Sh("rc-service daemon stop")
	h.Sh("[ ! -e /sys/fs/cgroup/openrc.daemon ]")
}

// writers are the packages of what writes resolv.conf, each unpacked into a
// folder of its own: two of them could not be installed together.
var writers = []string{
	"--variant=custom",
	`--aptopt=Acquire::Check-Valid-Until "false"`,
	`--customize-hook=cd "$1" && mkdir writers && for p in dhcpcd-base ifupdown-ng openresolv resolvconf; do
		APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download $p && dpkg -x ${p}_*.deb writers/$p || exit
	done && rm *.deb`,
}

// What writes the host's resolv.conf has it repaired, by the hook that lies where
// it looks.
func TestRepairHooks(t *testing.T) {
	t.Parallel()
	root := kit.Root(t, "writers-sid", "sid", writers...)
	// As PACKAGING.md has them for Debian's sid, and for Alpine.
	hooks := []string{
		"/usr/libexec/dhcpcd-hooks/90-openrc-netns", "/usr/lib/resolvconf/libc.d/openrc-netns",
		"/etc/resolvconf/update-libc.d/openrc-netns", "/etc/network/if-up.d/openrc-netns",
		"/etc/udhcpc/post-bound/openrc-netns",
	}
	dir := t.TempDir()
	if err := build.Run("make", "install-hooks", "DESTDIR="+dir, "HOOKS="+strings.Join(hooks, " ")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		tools   []string // the packages
		command string   // to write the file by
	}{
		{"resolvconf", []string{"resolvconf"}, "ln -sf /run/resolvconf/resolv.conf /etc/resolv.conf; mkdir -p /run/resolvconf/interface; resolvconf --enable-updates; echo nameserver $server | resolvconf -a eth0.dhcp; grep -q $server /etc/resolv.conf"},
		{"openresolv", []string{"openresolv"}, "echo resolv_conf_mv=YES >>/etc/resolvconf.conf; resolvconf -u; echo nameserver $server | resolvconf -a eth0; grep -q $server /etc/resolv.conf"},
		{"dhcpcd", []string{"dhcpcd-base", "openresolv"}, "echo resolv_conf_mv=YES >>/etc/resolvconf.conf; rm /usr/lib/resolvconf/libc.d/openrc-netns; resolvconf -u; interface=eth0 reason=BOUND if_configured=true if_up=true new_domain_name_servers=$server /usr/libexec/dhcpcd-run-hooks; grep -q $server /etc/resolv.conf"},
		{"ifupdown-ng", []string{"ifupdown-ng"}, "printf 'iface lo\\n\\tup echo nameserver %s >/etc/new; mv /etc/new /etc/resolv.conf\\n' $server >/run/interfaces; ifup-ng -f -i /run/interfaces lo; grep -q $server /etc/resolv.conf"},
		// That of Alpine ends like this. Debian's looks for nothing.
		{"udhcpc", nil, "echo nameserver $server >/etc/new; mv /etc/new /etc/resolv.conf; for i in /etc/udhcpc/post-bound/*; do [ ! -f $i ] || $i; done"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := bootResolved(t)
			h.Conf("daemon", "netns=vpn")
			h.Sh("rc-service daemon start")
			pid := h.daemon()
			for _, tool := range test.tools {
				if err := h.Install(filepath.Join(root, "writers", tool)); err != nil {
					t.Fatal(err)
				}
			}
			// Without a hook it takes the daemon's file away, with one it
			// gives it back.
			h.Sh("rm $(grep -rl 'rc-netns repair --quiet' /etc /usr/lib)")
			h.Sh("server=192.0.2.8; " + test.command)
			kit.Contains(t, h.Sh("cat /proc/"+pid+"/root/etc/resolv.conf"), "192.0.2.8")
			if err := h.Install(dir); err != nil {
				t.Fatal(err)
			}
			kit.Equal(t, "said", h.Sh("exec 2>&1; server=192.0.2.9; "+test.command), "")
			h.sees(pid, vpnsServer)
			h.says("daemon", "ok", "")
		})
	}
}

// Where nothing that is confined is started, the hook starts nothing, and it
// breaks nothing for who sources it.
func TestRepairHookIsCheap(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	const hook = "/usr/lib/dhcpcd/dhcpcd-hooks/90-openrc-netns"
	h.Sh("rc-service daemon start")
	for _, shell := range []string{"dash", "bash", "busybox ash"} {
		const calls = "strace -f -qq -e trace=execve,clone,clone3,fork,vfork -o /run/calls "
		h.Sh("set -- one two; " + calls + shell + " -euc '. " + hook + "; echo $# $1 $2' sh one two >/run/said")
		kit.Equal(t, shell, h.Sh("cat /run/said"), "2 one two")
		kit.Equal(t, "calls of "+shell, h.Sh("grep -vc '+++\\|---' /run/calls"), "1")
	}
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon restart; strace -f -qq -e trace=execve -o /run/calls sh " + hook)
	kit.Contains(t, h.Sh("cat /run/calls"), `execve("/usr/sbin/rc-netns", ["/usr/sbin/rc-netns", "repair", "--quiet"]`)
	// Nor is one of a package that was removed a mistake.
	h.Sh("mv /usr/sbin/rc-netns /run; sh -eu " + hook)
}
