package bench

import (
	"errors"
	"io"
	"net"
	"strings"
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

// span is how long most measurements take.
const span = time.Second

// portRows are the measurements. More is better, but for memory.
var portRows = []struct {
	what, unit string
	measure    func(*contender) (float64, error)
}{
	{"in, 1 connection", "MB_s", func(c *contender) (float64, error) { return flow(c.address, "s") }},
	{"out, 1 connection", "MB_s", func(c *contender) (float64, error) { return flow(c.address, "r") }},
	{"in and out, 16", "MB_s", func(c *contender) (float64, error) { return flow(c.address, strings.Repeat("sr", 8)) }},
	{"connections", "1_s", func(c *contender) (float64, error) { return questions(c.address, 8, false) }},
	{"small questions, 64", "1_s", func(c *contender) (float64, error) { return questions(c.address, 64, true) }},
	{"memory of an idle one", "bytes", (*contender).idle},
}

// flow is how many megabytes a second go through connections, one for each byte
// of kinds: sink or source.
func flow(address, kinds string) (float64, error) {
	var open []net.Conn
	for _, kind := range []byte(kinds) {
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
	var total atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for i, conn := range open {
		all.Go(func() {
			_ = conn.SetDeadline(begin.Add(span))
			move := conn.Write
			if kinds[i] == source {
				move = conn.Read
			}
			buffer := make([]byte, 1<<17)
			for err := error(nil); err == nil; {
				var n int
				n, err = move(buffer)
				total.Add(int64(n))
			}
		})
	}
	all.Wait()
	return float64(total.Load()) / 1e6 / time.Since(begin).Seconds(), nil
}

// questions is how many a second are asked and answered, by some at a time: on
// connections that stay, or each on one of its own.
func questions(address string, times int, stay bool) (float64, error) {
	var answered atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, times)
	until := time.Now().Add(span)
	for i := range times {
		all.Go(func() {
			for errs[i] == nil && time.Now().Before(until) {
				errs[i] = converse(address, func() bool {
					answered.Add(1)
					return stay && time.Now().Before(until)
				})
			}
		})
	}
	all.Wait()
	return float64(answered.Load()) / span.Seconds(), errors.Join(errs...)
}

// converse makes a connection, and asks on it until an answer is the last.
func converse(address string, more func() bool) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		if err := ask(conn); err != nil || !more() {
			return err
		}
	}
}

func ask(conn net.Conn) error {
	question := [2]byte{echo, 1}
	if _, err := conn.Write(question[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, question[:1])
	return err
}

// idle is the memory that an idle connection takes: in the program, and in the
// kernel for it.
func (c *contender) idle() (float64, error) {
	const connections = 1000
	before, err := c.usage()
	if err != nil {
		return 0, err
	}
	for range connections {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := ask(conn); err != nil {
			return 0, err
		}
	}
	after, err := c.usage()
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
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	question := make([]byte, 2)
	_, err := io.ReadFull(conn, question)
	if question[0] == echo {
		for err == nil {
			if _, err = conn.Write(question[1:]); err == nil {
				_, err = io.ReadFull(conn, question)
			}
		}
		return
	}
	move := conn.Read
	if question[0] == source {
		move = conn.Write
	}
	for buffer := make([]byte, 1<<17); err == nil; {
		_, err = move(buffer)
	}
}
