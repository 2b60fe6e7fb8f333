// Probe finds out, from inside a test machine, what the tests want to know.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/deny"
)

// command is something that the probe does. Its usage begins with its name; of
// a last argument that ends in "..." there can be more.
type command struct {
	usage, what string
	do          func(args []string) error
}

var commands = []command{
	{"sockets", "make a socket of every kind, print what each is bound to", none(func() error { return sockets(ordinaryKinds) })},
	{"kinds", "the same with rarer kinds", none(func() error { return sockets(rarerKinds) })},
	{"programs CGROUP", "read back the programs on a cgroup", one(programs)},
	{"detach CGROUP", "take the programs off a cgroup", one(detach)},
	{"attach CGROUP NAME", "put a program of that name on it, which admits each socket", two(attach)},
	{"serve TEXT", "answer every TCP and UDP client on port 7 with TEXT", one(serve)},
	{"ask HOST", "print what the server at HOST answers by TCP and UDP", one(ask)},
	{"deny SYSCALL ERROR COMMAND...", "become COMMAND on a kernel that answers SYSCALL with ERROR",
		func(args []string) error { deny.Exec(args); return nil }},
	{"sctp", "wait for a client, print what its sockets are bound to", none(sctp)},
	{"ask-sctp ADDRESS", "be that client", one(askSCTP)},
	{"stray PORT", "listen with a socket that is bound to no device", number(stray)},
	{"rxrpc PORT", "have the kernel listen on a UDP port, for AF_RXRPC", number(rxrpc)},
	{"abstract NAME", "listen at a Unix socket of the abstract kind", one(abstract)},
	{"ask-abstract NAME", "be its client", one(askAbstract)},
	{"hand-out", "hand a UDP socket to each client of a Unix socket, and have a FIFO open, for two ways", none(handOut)},
	{"leave-open COMMAND...", "become COMMAND, with a UDP socket for the way that is one", leaveOpen},
	{"ways PID INDEX", "try each way out of a lock; outside are a process that holds a socket, and a device", numbers(ways)},
	{"capture FILE", "write down all packets of the network namespace, a line each, until it is terminated", one(capture)},
	{"echo PORT", "send back what comes in on each of many connections", number(echo)},
	{"headless", "end the first thread, and live on", none(headless)},
	{"crowd PORT N", "open that many at once, and ask each of them twice", numbers(crowd)},
	{"whoami ADDRESS", "be a name server whose answer is the address of who asks", one(whoami)},

	// These print a line for each address, with the answer or why there is none,
	// and for DNS one for UDP and one for TCP.
	{"http PORT ADDRESS...", "ask for a page", func(args []string) error { return put(args[1:], over("tcp", args[0], askHTTP)) }},
	{"dns NAME ADDRESS...", "ask for the addresses of a name", func(args []string) error {
		ask := askDNS(args[0])
		return put(args[1:], over("udp", "53", ask), over("tcp", "53", ask))
	}},
	{"ntp ADDRESS...", "ask for the time", func(args []string) error { return put(args, over("udp", "123", askNTP)) }},
	{"ssh ADDRESS...", "wait for what the server says first", func(args []string) error { return put(args, over("tcp", "22", askSSH)) }},

	{"new-proc", "what a way calls", none(func() error { return say(newProcInside()) })},
	{"new-socket", "what a way calls", none(func() error { return say(socket(unix.AF_INET, unix.SOCK_DGRAM)) })},
	{"new-macvlan PID INDEX", "what a way calls", numbers(func(pid, index int) error { return say(onDeviceOf(pid, index)) })},
	{"type-ahead", "what a way calls", none(func() error { return say(typeAheadInside()) })},
}

func none(f func() error) func([]string) error {
	return func([]string) error { return f() }
}

func one(f func(string) error) func([]string) error {
	return func(args []string) error { return f(args[0]) }
}

func two(f func(a, b string) error) func([]string) error {
	return func(args []string) error { return f(args[0], args[1]) }
}

func number(f func(int) error) func([]string) error {
	return one(func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		return f(n)
	})
}

func numbers(f func(a, b int) error) func([]string) error {
	return func(args []string) error {
		a, err := strconv.Atoi(args[0])
		b, wrong := strconv.Atoi(args[1])
		if err := errors.Join(err, wrong); err != nil {
			return err
		}
		return f(a, b)
	}
}

func main() {
	for _, c := range commands {
		words := strings.Fields(c.usage)
		given := len(os.Args) - 1
		if given == 0 || os.Args[1] != words[0] || given < len(words) || given > len(words) && !strings.HasSuffix(c.usage, "...") {
			continue
		}
		if err := c.do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "usage:")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "probe %s\n\t%s\n", c.usage, c.what)
	}
	os.Exit(1)
}

// socketKind is one of those that a VRF or a lock may have to confine.
type socketKind struct {
	name                   string
	family, kind, protocol int
}

var ordinaryKinds = []socketKind{
	{"IPv4 TCP", unix.AF_INET, unix.SOCK_STREAM, 0},
	{"IPv4 UDP", unix.AF_INET, unix.SOCK_DGRAM, 0},
	{"IPv4 raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	{"IPv6 TCP", unix.AF_INET6, unix.SOCK_STREAM, 0},
	{"IPv6 UDP", unix.AF_INET6, unix.SOCK_DGRAM, 0},
	{"IPv6 raw", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
}

// sockets makes a socket of each kind, and prints what it is bound to.
func sockets(kinds []socketKind) error {
	for _, kind := range kinds {
		fd, err := unix.Socket(kind.family, kind.kind, kind.protocol)
		if err != nil {
			fmt.Printf("%s: %v\n", kind.name, err)
			continue
		}
		err = printBound(kind.name, fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func printBound(name string, fd int) error {
	device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	if err == nil {
		fmt.Printf("%s: %q\n", name, device)
	}
	return err
}

func programs(cgroup string) error {
	return eachProgram(cgroup, func(_ int, program *ebpf.Program) error {
		info, err := program.Info()
		if err != nil {
			return err
		}
		instructions, err := info.Instructions()
		if err != nil {
			return err
		}
		fmt.Printf("%s %s, %d instructions\n", info.Name, info.Type, len(instructions))
		return nil
	})
}

func detach(cgroup string) error {
	return eachProgram(cgroup, func(target int, program *ebpf.Program) error {
		return link.RawDetachProgram(link.RawDetachProgramOptions{Target: target, Program: program, Attach: ebpf.AttachCGroupInetSockCreate})
	})
}

func eachProgram(cgroup string, do func(target int, program *ebpf.Program) error) error {
	dir, err := os.Open(cgroup)
	if err != nil {
		return err
	}
	target := int(dir.Fd())
	result, err := link.QueryPrograms(link.QueryOptions{Target: target, Attach: ebpf.AttachCGroupInetSockCreate})
	if err != nil {
		return err
	}
	for _, attached := range result.Programs {
		program, err := ebpf.NewProgramFromID(attached.ID)
		if err == nil {
			err = do(target, program)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func attach(cgroup, name string) error {
	dir, err := os.Open(cgroup)
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.CGroupSock, AttachType: ebpf.AttachCGroupInetSockCreate, License: "BSD",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		return err
	}
	return link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(dir.Fd()), Program: program, Attach: ebpf.AttachCGroupInetSockCreate, Flags: unix.BPF_F_ALLOW_MULTI,
	})
}

// serve has a socket for each family: the net package finds out whether one can
// do for both by binding to the loopback address, which no VRF has.
func serve(text string) error {
	failed := make(chan error)
	for _, version := range []string{"4", "6"} {
		err := listen(version, ":7", failed,
			func(client net.Conn) { _, _ = io.WriteString(client, text) },
			func([]byte, net.Addr) []byte { return []byte(text) })
		if err != nil {
			return err
		}
	}
	return <-failed
}

// listen serves at an address from now on: talk has each client of TCP, and
// answer makes an answer, or nil, of each packet of UDP.
func listen(version, address string, failed chan<- error, talk func(net.Conn), answer func([]byte, net.Addr) []byte) error {
	listener, err := net.Listen("tcp"+version, address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp"+version, address)
	if err != nil {
		return err
	}
	go func() { failed <- eachClient(listener, talk) }()
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				continue
			}
			if reply := answer(buffer[:n], from); reply != nil {
				_, _ = packets.WriteTo(reply, from)
			}
		}
	}()
	return nil
}

// eachClient talks with all clients at a time.
func eachClient(listener net.Listener, talk func(net.Conn)) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			talk(client)
		}()
	}
}

// ask asks once more where there was no answer: a packet can be lost.
func ask(host string) error {
	for _, network := range []string{"tcp", "udp"} {
		answer, err := askOnce(network, host)
		for range 4 {
			if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
				break
			}
			answer, err = askOnce(network, host)
		}
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", network, answer)
	}
	return nil
}

func askOnce(network, host string) (string, error) {
	server, err := dial(network, host, "7", 2*time.Second)
	if err != nil {
		return "", err
	}
	defer server.Close()
	if network == "udp" {
		if _, err := io.WriteString(server, "?"); err != nil {
			return "", err
		}
	}
	buffer := make([]byte, 100)
	n, err := server.Read(buffer)
	return string(buffer[:n]), err
}
