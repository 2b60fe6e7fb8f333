// Demo shows the main job on a throw-away OpenRC machine: a real sshd in a
// network namespace, by one line in conf.d, and a service that has no way out
// but a WireGuard tunnel, by three. It stops with an error where what it says
// is not what happens.
package main

import (
	"fmt"
	"os"
	"strings"

	"openrc-netns/tests/machine"
)

func main() {
	machine.Init()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo DIR, where DIR is what make install DESTDIR=DIR has filled")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(installed string) (err error) {
	if err := machine.Check(); err != nil {
		return err
	}
	say("This needs a root file system with OpenRC. The first time, mmdebstrap makes one",
		"(about a quarter of a minute); it is kept in the cache. Nothing on this machine changes.")
	m, err := machine.Start(machine.Options{Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := m.Close(); err == nil && closeErr != nil {
			err = closeErr
		}
		if err == nil {
			say("The throw-away machine is gone, with all that was in it.")
		}
	}()
	s := &scene{m: m}
	s.do(m.Install(installed))
	s.namespace()
	s.tunnel()
	return s.err
}

func say(lines ...string) { fmt.Printf("\n%s\n", strings.Join(lines, "\n")) }

// scene goes on until something is not as it should be.
type scene struct {
	m   *machine.Machine
	err error
}

// do is a step that is not shown.
func (s *scene) do(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *scene) say(lines ...string) {
	if s.err == nil {
		say(lines...)
	}
}

// show runs a command and prints it with its output, in which want has to be.
func (s *scene) show(command, want string) {
	if s.err != nil {
		return
	}
	result := s.m.Run("exec 2>&1; " + command)
	fmt.Printf("# %s\n%s", command, result.Stdout)
	if !strings.Contains(result.Stdout, want) {
		s.err = fmt.Errorf("expected %q from: %s", want, command)
	}
}

// namespace has an sshd in one.
func (s *scene) namespace() {
	m := s.m
	s.do(m.SSHD())
	s.do(m.AddNetns("vpn"))
	s.do(m.AddNetns("peer"))
	s.do(m.Veth(
		machine.End{Netns: "vpn", Device: "tun0", Addrs: []string{"192.0.2.1/24"}},
		machine.End{Netns: "peer", Device: "tun0", Addrs: []string{"192.0.2.2/24"}}))
	s.do(m.Run("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; touch /etc/resolv.conf; rc-update -u").Err())

	s.say("A machine with an OpenRC that nobody patched:")
	s.show("openrc --version", "OpenRC")
	s.say("It has a network namespace, vpn, and a peer at the other end of vpn's only cable.")
	s.show("ip -n vpn -br address show tun0", "192.0.2.1")
	s.say("openrc-netns is installed: its programs, a drop-in, and an init script for namespaces.")
	s.show("ls /usr/sbin/netns-exec /usr/sbin/openrc-netns-hook /etc/rc.conf.d/* /etc/init.d/netns", "50-netns.conf")

	s.say("One line confines a service:")
	s.show("echo netns=vpn >>/etc/conf.d/sshd", "")
	s.show("rc-service sshd start", "Starting sshd")

	s.say("The live sshd is in the namespace vpn, and the machine itself is in another one:")
	s.show("readlink /proc/$(cat /run/sshd.pid)/ns/net", inode(m, "/run/netns/vpn"))
	s.show("echo \"vpn is net:[$(stat -L -c %i /run/netns/vpn)], the machine is in $(readlink /proc/1/ns/net)\"", "vpn is")
	s.say("Through vpn it answers:")
	s.show("ip netns exec peer bash -c 'exec 3<>/dev/tcp/192.0.2.1/22 && head -1 <&3'", "SSH-2.0")
	s.say("A login lands in vpn too: its devices, its resolver, and the control groups that ip netns exec would lose.")
	s.show("ip netns exec peer ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR root@192.0.2.1 'ls /sys/class/net; cat /etc/resolv.conf; ls /sys/fs/cgroup | wc -l'", "nameserver 192.0.2.53")
	s.say("From outside nothing listens:")
	s.show("bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'", "Connection refused")

	s.say("An administrator asks which service runs where, and whether that is true:")
	s.show("rc-netns status", " ok\n")

	s.say("Now somebody deletes the namespace. The status says so, and what to do. A restart",
		"would lose the daemon, so it is refused:")
	s.show("ip netns delete vpn", "")
	s.show("rc-netns status", "stale: the name \"vpn\" was deleted")
	s.show("rc-service sshd restart", "not stopped, because the start would fail")
	s.show("pgrep -x sshd", "")
	s.say("A stop works, in the namespace that the daemon still lives in:")
	s.show("rc-service sshd stop", "acting in that one")
	s.say("And without its namespace it does not start, instead of starting outside:")
	s.show("rc-service sshd start", "network namespace \"vpn\" does not exist; create it with: ip netns add vpn")
	s.show("rc-service sshd status", "stopped")
	s.show("pgrep -x sshd || echo no sshd", "no sshd")
}

func inode(m *machine.Machine, path string) string {
	return "net:[" + strings.TrimSpace(m.Run("stat -L -c %i "+path).Stdout) + "]"
}
