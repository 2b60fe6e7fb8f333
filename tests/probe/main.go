// Probe finds out, from inside a test machine, what the tests want to know.
//
//	probe sockets          make a socket of every kind, print what each is bound to
//	probe programs CGROUP  read back the programs on a cgroup
//	probe detach CGROUP    take the programs off a cgroup
//	probe attach CGROUP NAME
//	                       put a program of that name on it, which admits each socket
//	probe serve TEXT       answer every TCP and UDP client on port 7 with TEXT
//	probe ask HOST         print what the server at HOST answers by TCP and UDP
//	probe deny SYSCALL ERROR COMMAND [ARG]...
//	                       become COMMAND on a kernel that answers SYSCALL with ERROR
//	probe kinds            make sockets of rarer kinds, print what each is bound to
//	probe sctp             wait for a client, print what its sockets are bound to
//	probe ask-sctp ADDRESS be that client
//	probe stray PORT       listen with a socket that is bound to no device
//	probe rxrpc PORT       have the kernel listen on a UDP port, for AF_RXRPC
//	probe abstract NAME    listen at a Unix socket of the abstract kind
//	probe ask-abstract NAME
//	                       be its client
//	probe hand-out         hand a UDP socket to whoever asks at a Unix socket, and have a
//	                       FIFO open, for the way that leads there
//	probe leave-open COMMAND [ARG]...
//	                       become COMMAND, with a UDP socket for the way that is one
//	probe ways PID DEVICE  try each way out of a lock: PID is a process outside that
//	                       holds a socket, DEVICE the index of a device there
//	probe capture FILE     write down all packets of the network namespace, a line each,
//	                       until it is terminated
//	probe echo PORT        send back what comes in on each of many connections
//	probe crowd PORT N     open that many at once, and ask each of them twice
//	probe whoami ADDRESS   be a name server whose answer is the address of who asks
//
// These print a line for each ADDRESS, with the answer or why there is none,
// and for DNS one for UDP and one for TCP:
//
//	probe http PORT ADDRESS...
//	probe dns NAME ADDRESS...
//	probe ntp ADDRESS...
//	probe ssh ADDRESS...
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/deny"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "sockets":
		return sockets()
	case len(args) == 1 && args[0] == "kinds":
		return kinds()
	case len(args) == 1 && args[0] == "sctp":
		return sctp()
	case len(args) == 2 && args[0] == "ask-sctp":
		return askSCTP(args[1])
	case len(args) == 2 && args[0] == "stray":
		port, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return stray(port)
	case len(args) == 1 && args[0] == "new-proc":
		fmt.Println(errnoOf(newProcInside()))
		return nil
	case len(args) == 2 && args[0] == "rxrpc":
		port, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return rxrpc(port)
	case len(args) == 1 && args[0] == "type-ahead":
		fmt.Println(errnoOf(typeAheadInside()))
		return nil
	case len(args) == 3 && args[0] == "new-macvlan":
		pid, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		index, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		if err := newNSID(pid); err != nil {
			return err
		}
		fmt.Println(errnoOf(macvlan(index)))
		return nil
	case len(args) == 2 && args[0] == "abstract":
		return abstract(args[1])
	case len(args) == 2 && args[0] == "ask-abstract":
		return askAbstract(args[1])
	case len(args) == 1 && args[0] == "hand-out":
		return handOut()
	case len(args) > 1 && args[0] == "leave-open":
		return leaveOpen(args[1:])
	case len(args) == 3 && args[0] == "ways":
		return ways(args[1], args[2])
	case len(args) == 2 && args[0] == "programs":
		return programs(args[1])
	case len(args) == 2 && args[0] == "detach":
		return detach(args[1])
	case len(args) == 3 && args[0] == "attach":
		return attach(args[1], args[2])
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 2 && args[0] == "ask":
		return ask(args[1])
	case len(args) == 2 && args[0] == "capture":
		return capture(args[1])
	case len(args) == 2 && args[0] == "echo":
		return echo(args[1])
	case len(args) == 3 && args[0] == "crowd":
		return crowd(args[1], args[2])
	case len(args) == 2 && args[0] == "whoami":
		return whoami(args[1])
	case len(args) > 2 && args[0] == "http":
		put(args[2:], overHTTP(args[1]))
		return nil
	case len(args) > 2 && args[0] == "dns":
		put(args[2:], overDNS("udp", args[1]), overDNS("tcp", args[1]))
		return nil
	case len(args) > 1 && args[0] == "ntp":
		put(args[1:], overNTP)
		return nil
	case len(args) > 1 && args[0] == "ssh":
		put(args[1:], overSSH)
		return nil
	case len(args) > 1 && args[0] == "deny":
		deny.Exec(args[1:])
	}
	return errors.New("usage: probe sockets | kinds | sctp | ask-sctp ADDRESS | stray PORT | rxrpc PORT | abstract NAME | ask-abstract NAME | hand-out | leave-open COMMAND [ARG]... | ways PID DEVICE | programs CGROUP | detach CGROUP | attach CGROUP NAME | http PORT ADDRESS... | dns NAME ADDRESS... | ntp ADDRESS... | ssh ADDRESS... | serve TEXT | ask HOST | deny SYSCALL ERROR COMMAND [ARG]... | echo PORT | crowd PORT N | whoami ADDRESS | capture FILE")
}

func sockets() error {
	for _, kind := range []struct {
		name                   string
		family, kind, protocol int
	}{
		{"IPv4 TCP", unix.AF_INET, unix.SOCK_STREAM, 0},
		{"IPv4 UDP", unix.AF_INET, unix.SOCK_DGRAM, 0},
		{"IPv4 raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{"IPv6 TCP", unix.AF_INET6, unix.SOCK_STREAM, 0},
		{"IPv6 UDP", unix.AF_INET6, unix.SOCK_DGRAM, 0},
		{"IPv6 raw", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
	} {
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
	dir, err := os.Open(cgroup)
	if err != nil {
		return err
	}
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: ebpf.AttachCGroupInetSockCreate})
	if err != nil {
		return err
	}
	for _, attached := range result.Programs {
		program, err := ebpf.NewProgramFromID(attached.ID)
		if err != nil {
			return err
		}
		info, err := program.Info()
		if err != nil {
			return err
		}
		instructions, err := info.Instructions()
		if err != nil {
			return err
		}
		fmt.Printf("%s %s, %d instructions\n", info.Name, info.Type, len(instructions))
	}
	return nil
}

func detach(cgroup string) error {
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
		if err != nil {
			return err
		}
		err = link.RawDetachProgram(link.RawDetachProgramOptions{Target: target, Program: program, Attach: ebpf.AttachCGroupInetSockCreate})
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
