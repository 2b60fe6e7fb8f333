package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// capture writes down each packet that comes or goes on any interface of the
// network namespace (packet(7)): "INTERFACE in|out WHAT". The file is there
// when it listens, and ends with the number of packets that were missed.
func capture(path string) error {
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	names := map[int]string{} // of interfaces, which may go
	lines := make(chan string, 1000)
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := unix.Recvfrom(fd, buffer, 0)
			link, is := from.(*unix.SockaddrLinklayer)
			if err != nil || !is {
				continue
			}
			if names[link.Ifindex] == "" {
				names[link.Ifindex] = fmt.Sprint(link.Ifindex)
				if i, err := net.InterfaceByIndex(link.Ifindex); err == nil {
					names[link.Ifindex] = i.Name
				}
			}
			way := "in"
			if link.Pkttype == unix.PACKET_OUTGOING {
				way = "out"
			}
			lines <- names[link.Ifindex] + " " + way + " " + describe(bigEndian(link.Protocol), buffer[:n])
		}
	}()
	for {
		select {
		case line := <-lines:
			if _, err := fmt.Fprintln(file, line); err != nil {
				return err
			}
		case <-ended:
			stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
			if err != nil {
				return err
			}
			for len(lines) > 0 {
				fmt.Fprintln(file, <-lines)
			}
			_, err = fmt.Fprintln(file, "missed", stats.Drops)
			return err
		}
	}
}

// bigEndian turns a number of 16 bits around, as htons(3) does.
func bigEndian(number uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, number))
}

// describe is a packet in words.
func describe(protocol uint16, packet []byte) string {
	var source, target netip.Addr
	var next byte
	var rest []byte
	switch {
	case protocol == unix.ETH_P_ARP && len(packet) >= 28:
		target, _ = netip.AddrFromSlice(packet[24:28])
		return "arp " + target.String()
	case protocol == unix.ETH_P_IP && len(packet) >= 20 && len(packet) >= int(packet[0]&15)*4:
		source, _ = netip.AddrFromSlice(packet[12:16])
		target, _ = netip.AddrFromSlice(packet[16:20])
		next, rest = packet[9], packet[int(packet[0]&15)*4:]
		if binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
			return fmt.Sprintf("fragment %s > %s", source, target)
		}
	case protocol == unix.ETH_P_IPV6 && len(packet) >= 40:
		source, _ = netip.AddrFromSlice(packet[8:24])
		target, _ = netip.AddrFromSlice(packet[24:40])
		next, rest = packet[6], packet[40:]
	default:
		return fmt.Sprintf("protocol %#x", protocol)
	}
	switch {
	case (next == unix.IPPROTO_UDP || next == unix.IPPROTO_TCP) && len(rest) >= 4:
		name := map[byte]string{unix.IPPROTO_UDP: "udp", unix.IPPROTO_TCP: "tcp"}[next]
		return fmt.Sprintf("%s %s > %s", name, netip.AddrPortFrom(source, binary.BigEndian.Uint16(rest)), netip.AddrPortFrom(target, binary.BigEndian.Uint16(rest[2:])))
	case next == unix.IPPROTO_ICMP && len(rest) > 0:
		return fmt.Sprintf("icmp type %d %s > %s", rest[0], source, target)
	case next == unix.IPPROTO_ICMPV6 && len(rest) > 0:
		return fmt.Sprintf("icmp6 type %d %s > %s", rest[0], source, target)
	}
	return fmt.Sprintf("next header %d %s > %s", next, source, target)
}
