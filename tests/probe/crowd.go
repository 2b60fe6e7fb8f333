package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// echo is a server that sends back what comes in on each of many connections.
func echo(port int) error {
	raiseLimit()
	listener, err := net.Listen("tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return err
	}
	return eachClient(listener, func(client net.Conn) {
		buffer := make([]byte, 100)
		for {
			n, err := client.Read(buffer)
			if err == nil {
				_, err = client.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	})
}

// crowd is as many clients of it at once.
func crowd(port, count int) error {
	raiseLimit()
	var open []net.Conn
	for i := range count {
		conn, err := net.Dial("tcp4", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		open = append(open, conn)
	}
	for round := range 2 {
		question := func(i int) string { return fmt.Sprint(round, i) }
		for i, conn := range open {
			_ = conn.SetDeadline(time.Now().Add(10 * time.Minute))
			if _, err := io.WriteString(conn, question(i)); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		for i, conn := range open {
			answer := make([]byte, len(question(i)))
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != question(i) {
				return fmt.Errorf("connection %d: %q, %v", i, answer, err)
			}
		}
	}
	fmt.Println(len(open), "at once")
	return nil
}

// raiseLimit makes room for many descriptors, where that is allowed.
func raiseLimit() {
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 17, Max: 1 << 17})
}
