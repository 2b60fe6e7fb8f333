package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// serverAddress is where the daemon is, in the namespace and outside.
const serverAddress = "127.0.0.1:7001"

// What the first of two bytes asks the daemon for.
const (
	echo   = 'e' // send the second back, and take two more
	sink   = 's' // read to the end
	source = 'r' // send without end
)

// A row is a measurement, more is better but for memory.
type row struct {
	what    string
	measure func(address string) (float64, error)
}

var rows = []row{
	{"in, 1 connection (MB/s)", func(address string) (float64, error) { return flow(address, sink, 1) }},
	{"out, 1 connection (MB/s)", func(address string) (float64, error) { return flow(address, source, 1) }},
	{"in and out, 16 (MB/s)", both},
	{"connections a second", rate},
	{"small questions a second, 64", questions},
	{"memory of an idle one (bytes)", memory},
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
		if _, err := conn.Write([]byte{kind, 0}); err != nil {
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

func both(address string) (float64, error) {
	var sum [2]float64
	var errs [2]error
	var all sync.WaitGroup
	for i, kind := range []byte{sink, source} {
		all.Go(func() { sum[i], errs[i] = flow(address, kind, 8) })
	}
	all.Wait()
	return sum[0] + sum[1], errors.Join(errs[:]...)
}

// rate is how many connections a second are made, asked one question, and
// closed.
func rate(address string) (float64, error) {
	return parallel(8, func(count func() bool) error {
		for count() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			err = ask(conn)
			conn.Close()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// questions is how many are asked and answered a second on connections that
// stay.
func questions(address string) (float64, error) {
	return parallel(64, func(count func() bool) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		for count() {
			if err := ask(conn); err != nil {
				return err
			}
		}
		return nil
	})
}

func ask(conn net.Conn) error {
	question := [2]byte{echo, 1}
	if _, err := conn.Write(question[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, question[:1])
	return err
}

// parallel is how many rounds a second some at a time make, each for as long as
// count says.
func parallel(times int, f func(count func() bool) error) (float64, error) {
	var rounds atomic.Int64
	errs := make([]error, times)
	until := time.Now().Add(span)
	var all sync.WaitGroup
	for i := range times {
		all.Go(func() {
			errs[i] = f(func() bool { rounds.Add(1); return time.Now().Before(until) })
		})
	}
	all.Wait()
	return float64(rounds.Load()-int64(times)) / span.Seconds(), errors.Join(errs...)
}

// memory is what an idle connection takes: in the program, and in the kernel
// for it.
func memory(address string) (float64, error) {
	const connections = 1000
	before, err := usage()
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
	after, err := usage()
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
			question := make([]byte, 2)
			_, err := io.ReadFull(conn, question)
			switch question[0] {
			case echo:
				for err == nil {
					if _, err = conn.Write(question[1:]); err == nil {
						_, err = io.ReadFull(conn, question)
					}
				}
			case sink:
				for buffer := make([]byte, 1<<17); err == nil; {
					_, err = conn.Read(buffer)
				}
			case source:
				for buffer := make([]byte, 1<<17); err == nil; {
					_, err = conn.Write(buffer)
				}
			}
		}()
	}
}
