package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// serverAddress is where the daemon is, in the namespace and outside.
const serverAddress = "127.0.0.1:7001"

// What the first byte of a connection asks the daemon for.
const (
	echo   = 'e' // send the next byte back
	sink   = 's' // read to the end
	source = 'r' // send without end
)

// A row is a measurement, more is better but for memory.
type row struct {
	what, format string
	measure      func(address string, group *cgroup) (float64, error)
}

var rows = []row{
	{"in, 1 connection (MB/s)", "%.0f", func(address string, _ *cgroup) (float64, error) { return flow(address, sink, 1) }},
	{"out, 1 connection (MB/s)", "%.0f", func(address string, _ *cgroup) (float64, error) { return flow(address, source, 1) }},
	{"in and out, 16 (MB/s)", "%.0f", both},
	{"connections a second", "%.0f", func(address string, _ *cgroup) (float64, error) { return rate(address) }},
	{"small questions a second, 64", "%.0f", func(address string, _ *cgroup) (float64, error) { return questions(address) }},
	{"memory of an idle one (bytes)", "%.0f", memory},
}

// flow is how many megabytes a second go through some connections.
func flow(address string, kind byte, connections int) (float64, error) {
	var total atomic.Int64
	var open []net.Conn
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		open = append(open, conn)
		if _, err := conn.Write([]byte{kind}); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	var all sync.WaitGroup
	for _, conn := range open {
		all.Go(func() {
			_ = conn.SetDeadline(begin.Add(span))
			buffer := make([]byte, 1<<17)
			for {
				n, err := 0, error(nil)
				if kind == sink {
					n, err = conn.Write(buffer)
				} else {
					n, err = conn.Read(buffer)
				}
				total.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return float64(total.Load()) / 1e6 / time.Since(begin).Seconds(), nil
}

func both(address string, _ *cgroup) (float64, error) {
	var sum [2]float64
	var errs [2]error
	var all sync.WaitGroup
	for i, kind := range []byte{sink, source} {
		all.Go(func() { sum[i], errs[i] = flow(address, kind, 8) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return sum[0] + sum[1], nil
}

// rate is how many connections a second are made, asked one question, and
// closed.
func rate(address string) (float64, error) {
	var count atomic.Int64
	err := parallel(8, func(until time.Time) error {
		for time.Now().Before(until) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			err = ask(conn)
			conn.Close()
			if err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	return float64(count.Load()) / span.Seconds(), err
}

// questions is how many are asked and answered a second on connections that
// stay.
func questions(address string) (float64, error) {
	var count atomic.Int64
	err := parallel(64, func(until time.Time) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		for time.Now().Before(until) {
			if err := ask(conn); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	return float64(count.Load()) / span.Seconds(), err
}

func ask(conn net.Conn) error {
	question := [2]byte{echo, 1}
	if _, err := conn.Write(question[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, question[:1])
	return err
}

func parallel(times int, f func(until time.Time) error) error {
	errs := make([]error, times)
	until := time.Now().Add(span)
	var all sync.WaitGroup
	for i := range times {
		all.Go(func() { errs[i] = f(until) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// memory is what an idle connection takes: in the program, and in the kernel
// for it.
func memory(address string, group *cgroup) (float64, error) {
	const connections = 1000
	before, err := group.usage()
	if err != nil {
		return 0, err
	}
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := ask(conn); err != nil {
			return 0, fmt.Errorf("connection: %w", err)
		}
	}
	after, err := group.usage()
	return (after - before) / connections, err
}

// serve is the daemon.
func serve() error {
	listener, err := net.Listen("tcp", serverAddress)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 2)
			for {
				if _, err := io.ReadFull(conn, buffer[:1]); err != nil {
					return
				}
				switch buffer[0] {
				case echo:
					if _, err := io.ReadFull(conn, buffer[:1]); err != nil {
						return
					}
					if _, err := conn.Write(buffer[:1]); err != nil {
						return
					}
				case sink:
					buffer := make([]byte, 1<<17)
					for {
						if _, err := conn.Read(buffer); err != nil {
							return
						}
					}
				case source:
					buffer := make([]byte, 1<<17)
					for {
						if _, err := conn.Write(buffer); err != nil {
							return
						}
					}
				}
			}
		}()
	}
}
