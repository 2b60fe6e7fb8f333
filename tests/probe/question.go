package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// patience is how long a server may take, on a machine that is busy with other
// tests.
const patience = 5 * time.Second

// question asks the server at an address, and returns its answer in words.
type question func(address string) (string, error)

// put puts questions to each address and prints a line for each answer. That
// there is none is an answer too.
func put(addresses []string, asked ...question) error {
	for _, address := range addresses {
		for _, ask := range asked {
			answer, err := ask(address)
			var errno syscall.Errno
			var network net.Error
			switch {
			case errors.As(err, &errno):
				answer = errno.Error()
			case errors.As(err, &network) && network.Timeout():
				answer = "no answer"
			case err != nil:
				answer = err.Error()
			}
			fmt.Printf("%s: %s\n", address, answer)
		}
	}
	return nil
}

// dial connects for one question and its answer.
func dial(network, address, port string, patience time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(network, net.JoinHostPort(address, port), patience)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// over asks on a connection of its own for each address.
func over(network, port string, ask func(net.Conn) (string, error)) question {
	return func(address string) (string, error) {
		conn, err := dial(network, address, port, patience)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return ask(conn)
	}
}

// askHTTP asks for the page "/".
func askHTTP(conn net.Conn) (string, error) {
	// (The package net/http would double the size of this program, which every
	// machine gets.)
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	head, page, _ := strings.Cut(string(reply), "\r\n\r\n")
	if status, _, _ := strings.Cut(head, "\r\n"); !strings.HasSuffix(status, " 200 OK") {
		return status, nil
	}
	return strings.TrimSpace(page), nil
}

// askSSH waits for what an SSH server says first.
func askSSH(conn net.Conn) (string, error) {
	line, err := bufio.NewReader(conn).ReadString('\n')
	software, _, _ := strings.Cut(line, "_") // and its version
	return software, err
}

// askNTP asks for the time, as in RFC 5905, section 7.3.
func askNTP(conn net.Conn) (string, error) {
	request := make([]byte, 48)
	request[0] = 4<<3 | 3 // version 4, mode 3: client
	now := uint64(time.Now().UnixNano())
	binary.BigEndian.PutUint64(request[40:], now) // transmit timestamp: any number that comes back
	if _, err := conn.Write(request); err != nil {
		return "", err
	}
	reply := make([]byte, 512)
	n, err := conn.Read(reply)
	if err != nil {
		return "", err
	}
	if n < 48 || binary.BigEndian.Uint64(reply[24:]) != now { // origin timestamp
		return "", fmt.Errorf("no answer to this question: %x", reply[:n])
	}
	return fmt.Sprintf("mode %d stratum %d", reply[0]&7, reply[1]), nil
}

// askDNS asks for the IPv4 addresses of a name.
func askDNS(name string) func(net.Conn) (string, error) {
	return func(conn net.Conn) (string, error) {
		host, err := dnsmessage.NewName(name + ".")
		if err != nil {
			return "", err
		}
		request := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: uint16(time.Now().UnixNano()), RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: host, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		}
		packed, err := request.Pack()
		if err != nil {
			return "", err
		}
		if err := sendDNS(conn, packed); err != nil {
			return "", err
		}
		packed, err = receiveDNS(conn)
		if err != nil {
			return "", err
		}
		var reply dnsmessage.Message
		if err := reply.Unpack(packed); err != nil {
			return "", err
		}
		if !reply.Response || reply.ID != request.ID {
			return "", errors.New("no answer to this question")
		}
		if reply.RCode != dnsmessage.RCodeSuccess {
			return reply.RCode.String(), nil
		}
		var found []string
		for _, record := range reply.Answers {
			if a, ok := record.Body.(*dnsmessage.AResource); ok {
				found = append(found, netip.AddrFrom4(a.A).String())
			}
		}
		return strings.Join(found, " "), nil
	}
}

// Over a stream a message has its length before it: RFC 1035, section 4.2.2.
func isStream(conn net.Conn) bool { return conn.RemoteAddr().Network() == "tcp" }

func sendDNS(conn net.Conn, message []byte) error {
	if isStream(conn) {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	_, err := conn.Write(message)
	return err
}

func receiveDNS(conn net.Conn) ([]byte, error) {
	message := make([]byte, 1<<16)
	if !isStream(conn) {
		n, err := conn.Read(message)
		return message[:n], err
	}
	if _, err := io.ReadFull(conn, message[:2]); err != nil {
		return nil, err
	}
	message = message[:binary.BigEndian.Uint16(message)]
	_, err := io.ReadFull(conn, message)
	return message, err
}
