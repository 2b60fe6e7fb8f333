package openrc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
)

// published is a machine whose namespace vpn has ports on the host. The test
// itself is the daemon inside, and who asks from the host.
type published struct{ *host }

func publish(m *host, conf ...string) *published {
	m.T.Helper()
	h := &published{m}
	h.Sh("ip link set lo up; ip -n vpn link set lo up; ln -s netns-publish /etc/init.d/netns-publish.vpn")
	h.service("vpn", conf...)
	return h
}

// in calls f in a network namespace of the machine, and comes back: the first
// thread of a process outlives its goroutine.
func (h *published) in(path string, f func() error) {
	h.T.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	back, noWay := os.Open("/proc/thread-self/ns/net")
	there, err := os.Open(h.path(path))
	if err := errors.Join(noWay, err); err != nil {
		h.T.Fatal(err)
	}
	defer back.Close()
	defer there.Close()
	if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
		err = errors.Join(f(), unix.Setns(int(back.Fd()), unix.CLONE_NEWNET))
	}
	if err != nil {
		h.T.Fatal(err)
	}
}

const (
	onHost = "/proc/1/ns/net"
	inVPN  = "/run/netns/vpn"
)

// serve answers connections inside, each by a call of f.
func (h *published) serve(address string, f func(net.Conn)) {
	h.T.Helper()
	h.in(inVPN, func() error {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		h.T.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go f(conn)
			}
		}()
		return nil
	})
}

// dial connects on the host's network.
func (h *published) dial(network, address string) net.Conn {
	h.T.Helper()
	var conn net.Conn
	h.in(onHost, func() (err error) {
		conn, err = net.Dial(network, address)
		return err
	})
	h.T.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		h.T.Fatal(err)
	}
	return conn
}

// tries connects on the host's network, and waits for the end.
func (h *published) tries(address string) (err error) {
	h.in(onHost, func() error {
		var conn net.Conn
		if conn, err = net.Dial("tcp", address); err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
		}
		return nil
	})
	return err
}

// greet is a daemon that answers each line with a word before it.
func greet(word string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		buffer := make([]byte, 100)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s %s", word, buffer[:n])
		}
	}
}

// asks sends a line and wants an answer.
func (h *published) asks(conn net.Conn, line, want string) {
	h.T.Helper()
	if _, err := conn.Write([]byte(line)); err != nil {
		h.T.Error(err)
		return
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil {
		h.T.Error(err)
	}
	kit.Equal(h.T, "answer", string(buffer[:n]), want)
}

// processes are the relay and the connector.
func (h *published) processes() []string {
	return strings.Fields(h.Sh("pgrep -x netns-publish | xargs"))
}

func (h *published) start() {
	h.T.Helper()
	h.Sh("rc-service netns-publish.vpn start")
	h.ready()
}

// ready waits until the two processes have given up everything.
func (h *published) ready() {
	h.T.Helper()
	h.Await(`[ "$(grep -ls '^Seccomp:.2' $(pgrep -x netns-publish | sed 's|.*|/proc/&/status|') /dev/null | wc -l)" = 2 ]`)
}

const publications = `netns_publish="127.0.0.1:9091 [::1]:8080=127.0.0.1:9091
	127.0.0.1:9092=[::1]:9092 udp:127.0.0.1:5353 udp:0.0.0.0:5354=[::1]:5353
	unix:/run/web.sock=127.0.0.1:9091"`

// Bytes go through each kind of entry, before and after all that happens to a
// service.
func TestPublish(t *testing.T) {
	inEachShell(t, func(t *testing.T, m *host) {
		// Functions and settings of the namespace's service are not for this one.
		h := publish(m, publications, "start_pre() { echo leaked >/run/leaked.$RC_SVCNAME; }", "command_user=nobody",
			`netns_publish_options="--timeout 60"`)
		h.serve("127.0.0.1:9091", greet("four"))
		h.serve("[::1]:9092", greet("six"))
		for _, address := range []string{"127.0.0.1:5353", "[::1]:5353"} {
			h.in(inVPN, func() error {
				packets, err := net.ListenPacket("udp", address)
				if err != nil {
					return err
				}
				t.Cleanup(func() { packets.Close() })
				go func() {
					buffer := make([]byte, 1<<16)
					for {
						n, from, err := packets.ReadFrom(buffer)
						if err != nil {
							return
						}
						_, _ = packets.WriteTo(append([]byte("udp "), buffer[:n]...), from)
					}
				}()
				return nil
			})
		}
		works := func() {
			t.Helper()
			h.asks(h.dial("tcp", "127.0.0.1:9091"), "a", "four a")
			h.asks(h.dial("tcp", "[::1]:8080"), "b", "four b")
			h.asks(h.dial("tcp", "127.0.0.1:9092"), "c", "six c")
			h.asks(h.dial("unix", h.path("/run/web.sock")), "d", "four d")
			h.asks(h.dial("udp", "127.0.0.1:5353"), "e", "udp e")
			h.asks(h.dial("udp", "127.0.0.1:5354"), "f", "udp f")
			h.asks(h.dial("udp", "127.0.0.77:5354"), "g", "udp g") // and from there
		}
		h.start()
		works()
		h.Sh("[ ! -e /run/leaked.netns-publish.vpn ]")
		kit.Contains(t, h.Sh("rc-service netns-publish.vpn status"), "started")
		kit.Equal(t, "mode of the socket", h.Sh("stat -c %a /run/web.sock"), "666")

		// It comes back when one of the two dies.
		for _, victim := range h.processes() {
			h.Sh("kill -9 " + victim + "; while [ -e /proc/" + victim + " ]; do sleep 0.05; done")
			h.ready()
			works()
		}
		h.Sh("rc-service netns-publish.vpn restart")
		h.ready()
		works()
		// It is stopped before its namespace, and started after it.
		h.Sh("rc-service netns.vpn stop")
		kit.Equal(t, "state", h.state("netns-publish.vpn"), "stopped")
		h.Await("! pgrep -x netns-publish") // one ends when the other has
		h.Sh("[ ! -e /run/web.sock ]")
		h.Sh("ip netns list | grep -q vpn") // it was there before
		h.start()
		kit.Equal(t, "state", h.state("netns.vpn"), "started")
		works()
		h.Sh("rc-service netns-publish.vpn stop; while pgrep -x netns-publish; do sleep 0.05; done; [ ! -e /run/web.sock ]")
		h.Sh("rc-service netns.vpn stop")
		h.nothingRecorded("netns-publish.vpn")
	})
}

// What is left of the two processes, and what each of them holds.
func TestPublishProcesses(t *testing.T) {
	t.Parallel()
	h := publish(boot(t, "dash", true), publications)
	h.start()
	processes := h.processes()
	if len(processes) != 2 {
		t.Fatalf("processes: %v", processes)
	}
	report, _ := h.statusJSON("", "")
	for _, n := range report.Namespaces {
		kit.Equal(t, n.Name, fmt.Sprint(n.Published), "[{tcp 127.0.0.1:9091 127.0.0.1:9091} {tcp [::1]:8080 127.0.0.1:9091} {tcp 127.0.0.1:9092 [::1]:9092} "+
			"{udp 127.0.0.1:5353 127.0.0.1:5353} {udp 0.0.0.0:5354 [::1]:5353} {unix /run/web.sock 127.0.0.1:9091}]")
	}
	sockets := map[string]int{}
	for _, pid := range processes {
		status := h.Sh("grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp):' /proc/" + pid + "/status | tr -s '\\t ' ' '")
		kit.Equal(t, "status", status, strings.Join([]string{
			"Uid: 65534 65534 65534 65534", "Gid: 65534 65534 65534 65534", "Groups: ",
			"CapInh: 0000000000000000", "CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000",
			"CapAmb: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"}, "\n"))
		kit.Equal(t, "root", h.Sh("ls -a /proc/"+pid+"/root/ | xargs"), ". ..")
		kit.Equal(t, "mounts", h.Sh("wc -l </proc/"+pid+"/mountinfo"), "1")
		kit.Contains(t, h.Sh("cat /proc/"+pid+"/mountinfo"), " / / ro,nosuid,nodev,noexec,")
		for _, task := range strings.Fields(h.Sh("ls /proc/" + pid + "/task")) {
			kit.Equal(t, "namespace of thread "+task, h.where(pid+"/task/"+task), h.inside())
			kit.Contains(t, h.Sh("cat /proc/"+pid+"/task/"+task+"/status"), "Seccomp:\t2")
		}
		for _, fd := range strings.Fields(h.Sh("ls /proc/" + pid + "/fd")) {
			target := h.Sh("readlink /proc/" + pid + "/fd/" + fd)
			if kind, _, is := strings.Cut(target, ":["); is {
				target = kind
			}
			if target == "socket" {
				sockets[pid]++
				continue
			}
			switch target {
			case "/dev/null", "/var/log/netns-publish.vpn.log", "anon_inode", "anon_inode:[eventpoll]":
			default:
				t.Errorf("descriptor %s of %s: %s", fd, pid, target)
			}
		}
		// Nobody of the same user can look in.
		kit.Contains(t, h.Fails("setpriv --reuid 65534 --regid 65534 --clear-groups ls /proc/"+pid+"/fd"), "Permission denied")
	}
	// Six listeners, and the two ends of what the two share.
	if a, b := sockets[processes[0]], sockets[processes[1]]; a+b != 8 || a*b != 7 {
		t.Errorf("sockets: %v", sockets)
	}
}

// A reader that stops stops the writer, and takes no memory; when it goes on,
// all arrives.
func TestPublishBackPressure(t *testing.T) {
	t.Parallel()
	h := publish(boot(t, "dash", true), `netns_publish="127.0.0.1:9091"`)
	begin, sum := make(chan bool), make(chan int64, 1)
	h.serve("127.0.0.1:9091", func(conn net.Conn) {
		defer conn.Close()
		<-begin
		n, _ := io.Copy(io.Discard, conn)
		sum <- n
	})
	h.start()
	memory := func() int {
		kilobytes := 0
		for _, pid := range h.processes() {
			n := 0
			fmt.Sscan(h.Sh("sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/"+pid+"/status"), &n)
			kilobytes += n
		}
		return kilobytes
	}
	before := memory()
	conn := h.dial("tcp", "127.0.0.1:9091").(*net.TCPConn)
	if err := conn.SetWriteBuffer(1 << 16); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	written, stuck := int64(0), 0
	for stuck < 3 { // seconds
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := conn.Write(buffer)
		if written += int64(n); err == nil || n > 0 {
			stuck = 0
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			stuck++
		} else {
			t.Fatal(err)
		}
		if written > 256<<20 {
			t.Fatal("nothing stops the writer")
		}
	}
	if now := memory(); now > before+1024 {
		t.Errorf("%d kB, %d before", now, before)
	}
	close(begin)
	_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
	for range 100 {
		n, err := conn.Write(buffer)
		if written += int64(n); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if got := <-sum; got != written {
		t.Errorf("%d bytes came, want %d", got, written)
	}
}

// A target that refuses, and one that does not answer: the client is cut, and a
// line says why, once in a while.
func TestPublishUnreachable(t *testing.T) {
	t.Parallel()
	h := publish(boot(t, "dash", true), `netns_publish="127.0.0.1:9091 127.0.0.1:9092 127.0.0.1:9093=192.0.2.1:80 udp:127.0.0.1:5353"`)
	h.in(inVPN, func() error { // its queue is full with one connection, and stays so
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: 9092, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		if err := syscall.Listen(fd, 0); err != nil {
			return err
		}
		// The kernel waits for an answer for a few seconds here, not minutes.
		return os.WriteFile("/proc/sys/net/ipv4/tcp_syn_retries", []byte("1"), 0o644)
	})
	h.start()
	for _, address := range append(slices.Repeat([]string{"127.0.0.1:9091"}, 20), "127.0.0.1:9093") {
		if err := h.tries(address); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", address, err)
		}
	}
	_, _ = h.dial("udp", "127.0.0.1:5353").Write([]byte("lost"))
	var silent []net.Conn
	for range 4 {
		silent = append(silent, h.dial("tcp", "127.0.0.1:9092"))
	}
	_, err := silent[3].Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("no answer: %v", err)
	}
	log := h.Sh("grep -v warning: /var/log/netns-publish.vpn.log")
	for _, line := range []string{
		`netns-publish: 127.0.0.1:9091: cannot reach 127.0.0.1:9091 in network namespace "vpn": connection refused`,
		`netns-publish: 127.0.0.1:9093: cannot reach 192.0.2.1:80 in network namespace "vpn": network is unreachable`,
		`netns-publish: 127.0.0.1:9092: cannot reach 127.0.0.1:9092 in network namespace "vpn": connection timed out`,
		`netns-publish: udp:127.0.0.1:5353: cannot reach 127.0.0.1:5353 in network namespace "vpn": connection refused`,
	} {
		if n := strings.Count(log+"\n", line+"\n"); n != 1 {
			t.Errorf("%d times %q in\n%s", n, line, log)
		}
	}
}

// What keeps the service from starting is said on the terminal, in one line,
// and nothing is left.
func TestPublishFailsTheStart(t *testing.T) {
	t.Parallel()
	h := publish(boot(t, "dash", true))
	h.Sh("touch /run/file; rc-update -u")
	h.in(onHost, func() error {
		listener, err := net.Listen("tcp", "127.0.0.1:9999")
		if err == nil {
			t.Cleanup(func() { listener.Close() })
		}
		return err
	})
	for _, test := range []struct{ list, want string }{
		{"", `netns-publish: nothing of network namespace "vpn" is to be reached: list it in netns_publish, 127.0.0.1:9091 for instance`},
		{"127.0.0.1:80 127.0.0.1:9999", "netns-publish: cannot listen on 127.0.0.1:9999: another program has the port: stop it, or choose another one"},
		{"unix:/run/new.sock=127.0.0.1:1 192.0.2.1:80", "netns-publish: cannot listen on 192.0.2.1:80: the host has no such address: give it one first, or choose another one"},
		{"unix:/run/file=127.0.0.1:1", "netns-publish: cannot listen on unix:/run/file: there is a file of that name, which is no socket: remove it, or choose another path"},
		{"unix:/nosuch/x=127.0.0.1:1", "netns-publish: cannot listen on unix:/nosuch/x: there is no directory /nosuch: create it"},
	} {
		h.Conf("netns.vpn", "netns_publish='"+test.list+"'")
		out := h.Fails("rc-service netns-publish.vpn start")
		kit.Equal(t, "start with "+test.list, out, test.want+"\n * ERROR: netns-publish.vpn failed to start\n")
		h.Sh("[ -z \"$(pgrep -x netns-publish)\" ]; [ ! -e /run/new.sock ]; [ -f /run/file ]")
	}
	h.Conf("netns.vpn", "netns_publish=127.0.0.1:9091")
	for setting, want := range map[string]string{
		"netns=vpn":      "netns-publish.vpn: netns, vrf or netns_lock is set, but this service listens on the host's network: remove it from /etc/conf.d/netns-publish.vpn",
		"netns_lock=yes": "netns-publish.vpn: netns, vrf or netns_lock is set, but",
	} {
		h.Conf("netns-publish.vpn", setting)
		kit.Contains(t, h.Fails("rc-service netns-publish.vpn start"), " * "+want)
	}
	h.Sh("rm /etc/conf.d/netns-publish.vpn")
	kit.Contains(t, h.Fails("rc-service netns-publish start"), "no network namespace is named")
	h.Sh("ln -s netns-publish /etc/init.d/netns-publish.nosuch; rc-update -u")
	kit.Contains(t, h.Fails("rc-service netns-publish.nosuch start"), "netns.nosuch")
	for command, want := range map[string]string{
		"setpriv --bounding-set -net_bind_service netns-publish vpn 127.0.0.1:80":               "netns-publish: cannot listen on 127.0.0.1:80: port 80 is a privileged one, which takes CAP_NET_BIND_SERVICE: choose one above 1023\n",
		"setpriv --reuid daemon --regid daemon --clear-groups netns-publish vpn 127.0.0.1:8000": "netns-publish: entering a network namespace needs CAP_SYS_ADMIN: run this as root\n",
		"netns-publish nosuch 127.0.0.1:1":                                                      "netns-publish: network namespace \"nosuch\" does not exist; create it with: ip netns add nosuch\n",
		"ip netns exec vpn netns-publish vpn 127.0.0.1:1":                                       "netns-publish: network namespace \"vpn\" is the one that this program is started in: start it on the host's network\n",
		"netns-publish --timeout 0 vpn 127.0.0.1:1":                                             "netns-publish: --timeout=0: give a number of seconds from 1 to 86400\n",
		"netns-publish":                        "netns-publish: no network namespace given; see: netns-publish --help\n",
		"netns-publish --frob vpn 127.0.0.1:1": "netns-publish: unknown option \"--frob\"; see: netns-publish --help\n",
	} {
		kit.Equal(t, command, h.Fails(command), want)
	}
	// By then nothing stands in the way.
	h.start()
}
