// Probe finds out, from inside a test machine, what the tests want to know.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/deny"
)

const usage = `probe sockets          make a socket of every kind, print what each is bound to
probe programs CGROUP  read back the programs on a cgroup
probe detach CGROUP    take the programs off a cgroup
probe attach CGROUP NAME
                       put a program of that name on it, which admits each socket
probe serve TEXT       answer every TCP and UDP client on port 7 with TEXT
probe ask HOST         print what the server at HOST answers by TCP and UDP
probe deny SYSCALL ERROR COMMAND [ARG]...
                       become COMMAND on a kernel that answers SYSCALL with ERROR
probe kinds            make sockets of rarer kinds, print what each is bound to
probe sctp             wait for a client, print what its sockets are bound to
probe ask-sctp ADDRESS be that client
probe stray PORT       listen with a socket that is bound to no device
probe rxrpc PORT       have the kernel listen on a UDP port, for AF_RXRPC
probe abstract NAME    listen at a Unix socket of the abstract kind
probe ask-abstract NAME
                       be its client
probe hand-out         hand a UDP socket to whoever asks at a Unix socket, and have a
                       FIFO open, for the way that leads there
probe leave-open COMMAND [ARG]...
                       become COMMAND, with a UDP socket for the way that is one
probe ways PID DEVICE  try each way out of a lock: PID is a process outside that
                       holds a socket, DEVICE the index of a device there
probe capture FILE     write down all packets of the network namespace, a line each,
                       until it is terminated
probe echo PORT        send back what comes in on each of many connections
probe crowd PORT N     open that many at once, and ask each of them twice
probe whoami ADDRESS   be a name server whose answer is the address of who asks

These print a line for each ADDRESS, with the answer or why there is none,
and for DNS one for UDP and one for TCP:

probe http PORT ADDRESS...
probe dns NAME ADDRESS...
probe ntp ADDRESS...
probe ssh ADDRESS...
`

// commands are functions with the number of their arguments, or the least.
var commands = map[string]struct {
	arguments int
	more      bool
	do        func(args []string) error
}{
	"sockets":      {0, false, func([]string) error { return sockets(ordinaryKinds) }},
	"kinds":        {0, false, func([]string) error { return sockets(rarerKinds) }},
	"sctp":         {0, false, func([]string) error { return sctp() }},
	"ask-sctp":     {1, false, one(askSCTP)},
	"stray":        {1, false, one(stray)},
	"rxrpc":        {1, false, one(rxrpc)},
	"abstract":     {1, false, one(abstract)},
	"ask-abstract": {1, false, one(askAbstract)},
	"hand-out":     {0, false, func([]string) error { return handOut() }},
	"leave-open":   {1, true, leaveOpen},
	"ways":         {2, false, two(ways)},
	"programs":     {1, false, one(programs)},
	"detach":       {1, false, one(detach)},
	"attach":       {2, false, two(attach)},
	"serve":        {1, false, one(serve)},
	"ask":          {1, false, one(ask)},
	"capture":      {1, false, one(capture)},
	"echo":         {1, false, one(echo)},
	"crowd":        {2, false, two(crowd)},
	"whoami":       {1, false, one(whoami)},
	"deny":         {1, true, func(args []string) error { deny.Exec(args); return nil }},
	"http":         {2, true, func(args []string) error { return put(args[1:], overHTTP(args[0])) }},
	"dns":          {2, true, func(args []string) error { return put(args[1:], overDNS("udp", args[0]), overDNS("tcp", args[0])) }},
	"ntp":          {1, true, func(args []string) error { return put(args, overNTP) }},
	"ssh":          {1, true, func(args []string) error { return put(args, overSSH) }},
	// What the ways call.
	"new-proc":    {0, false, func([]string) error { return say(newProcInside()) }},
	"new-socket":  {0, false, func([]string) error { return say(socket(unix.AF_INET, unix.SOCK_DGRAM)) }},
	"new-macvlan": {2, false, two(newMacvlan)},
	"type-ahead":  {0, false, func([]string) error { return say(typeAheadInside()) }},
}

func one(f func(string) error) func([]string) error {
	return func(args []string) error { return f(args[0]) }
}

func two(f func(a, b string) error) func([]string) error {
	return func(args []string) error { return f(args[0], args[1]) }
}

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{""}
	}
	c, known := commands[args[0]]
	if n := len(args) - 1; !known || n < c.arguments || n > c.arguments && !c.more {
		fmt.Fprint(os.Stderr, "usage:\n", usage)
		os.Exit(1)
	}
	if err := c.do(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
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
		device, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %q\n", kind.name, device)
		unix.Close(fd)
	}
	return nil
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
		listener, err := net.Listen("tcp"+version, ":7")
		if err != nil {
			return err
		}
		packets, err := net.ListenPacket("udp"+version, ":7")
		if err != nil {
			return err
		}
		go func() {
			buffer := make([]byte, 100)
			for {
				if _, from, err := packets.ReadFrom(buffer); err == nil {
					_, _ = packets.WriteTo([]byte(text), from)
				}
			}
		}()
		go func() {
			for {
				client, err := listener.Accept()
				if err != nil {
					failed <- err
					return
				}
				_, _ = io.WriteString(client, text)
				client.Close()
			}
		}()
	}
	return <-failed
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
	const patience = 2 * time.Second
	server, err := net.DialTimeout(network, net.JoinHostPort(host, "7"), patience)
	if err != nil {
		return "", err
	}
	defer server.Close()
	if err := server.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if network == "udp" {
		if _, err := io.WriteString(server, "?"); err != nil {
			return "", err
		}
	}
	buffer := make([]byte, 100)
	n, err := server.Read(buffer)
	return string(buffer[:n]), err
}
