package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// running is a relay with its connector, both in this process and without a
// sandbox.
type running struct {
	*relay
	addresses []string // that it listens on, one an entry
	said      chan string
}

func start(t *testing.T, limits Limits, targets ...string) *running {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{said: make(chan string, 1000)}
	var entries []Entry
	var listeners []int
	for _, target := range targets {
		e := Entry{Network: TCP, Listen: netip.MustParseAddrPort("127.0.0.1:0")}
		if rest, udp := strings.CutPrefix(target, "udp:"); udp {
			e.Network, target = UDP, rest
		}
		e.Target = netip.MustParseAddrPort(target)
		fd, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
		listeners = append(listeners, fd)
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		r.addresses = append(r.addresses, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port))
	}
	c, err := newConnector(entries, pair[1])
	if err != nil {
		t.Fatal(err)
	}
	r.relay, err = newRelay("test", entries, listeners, pair[0], limits, func(entry int, text string) { r.said <- text })
	if err != nil {
		t.Fatal(err)
	}
	var ends sync.WaitGroup
	ends.Go(c.run)
	ends.Go(func() { _ = r.run() })
	t.Cleanup(func() { // each goes when the other has gone
		_ = unix.Shutdown(pair[0], unix.SHUT_RDWR)
		ends.Wait()
		for _, fd := range append(listeners, pair[0], pair[1], int(r.fd), int(c.fd)) {
			unix.Close(fd)
		}
	})
	return r
}

var roomy = Limits{Connections: 1000, Clients: 100, Timeout: time.Minute, UDP: time.Minute}

// echoes answers with what it is sent, and ends when that ends.
func echoes(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // with no pipes of package net's
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// echoed sends, and wants the same back.
func echoed(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Error(err)
		return
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Errorf("%q, %v; want %q", got, err, text)
	}
}

// Many connections with much to pass on in both directions, at once.
func TestRelayPassesAll(t *testing.T) {
	r := start(t, roomy, echoes(t), echoes(t))
	var all sync.WaitGroup
	for i := range 40 {
		conn := dial(t, "tcp", r.addresses[i%2]).(*net.TCPConn)
		sent := bytes.Repeat([]byte(fmt.Sprintf("connection %d. ", i)), 50_000)
		all.Go(func() {
			_, _ = conn.Write(sent)
			_ = conn.CloseWrite()
		})
		all.Go(func() {
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("connection %d: %d bytes of %d, %v", i, len(got), len(sent), err)
			}
		})
	}
	all.Wait()
}

// A connection that is faster than the relay does not keep others from their turn.
func TestRelayTakesTurns(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const size = 128 << 20
	came := make(chan int64)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
		came <- n
	}()
	r := start(t, roomy, listener.Addr().String(), echoes(t))
	fast, other := dial(t, "tcp", r.addresses[0]), dial(t, "tcp", r.addresses[1])
	go func() {
		block := make([]byte, 1<<20)
		for range size / len(block) {
			_, _ = fast.Write(block)
		}
		fast.Close()
	}()
	for {
		select {
		case n := <-came:
			if n != size {
				t.Errorf("%d bytes came, of %d", n, size)
			}
			return
		default:
			echoed(t, other, "me too")
		}
	}
}

// Where the target ends its side first, what the client still sends arrives.
func TestRelayHalfClosedInside(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	came := make(chan []byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("hello"))
		_ = conn.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(conn)
		came <- all
		conn.Close()
	}()
	conn := dial(t, "tcp", start(t, roomy, listener.Addr().String()).addresses[0])
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello" {
		t.Errorf("%q, %v", said, err)
	}
	sent := bytes.Repeat([]byte("and on. "), 1<<20)
	if _, err := conn.Write(sent); err != nil {
		t.Error(err)
	}
	conn.Close()
	if all := <-came; !bytes.Equal(all, sent) {
		t.Errorf("%d bytes came, of %d", len(all), len(sent))
	}
}

// A connection that is over leaves no descriptor, and its number is not
// mistaken for that of the next one.
func TestRelayLeavesNothing(t *testing.T) {
	r := start(t, roomy, echoes(t))
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	echoed(t, dial(t, "tcp", r.addresses[0]), "first") // makes a pipe, which stays
	before := open()
	for i := range 500 {
		conn := dial(t, "tcp", r.addresses[0]).(*net.TCPConn)
		echoed(t, conn, fmt.Sprint("number ", i))
		if i%2 == 0 {
			_ = conn.SetLinger(0)
		}
		conn.Close()
	}
	for i := 0; open() > before; i++ {
		if i == 600 {
			t.Fatalf("%d descriptors, %d before", open(), before)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Beyond the limit, connections wait until others end.
func TestRelayLimitsConnections(t *testing.T) {
	limits := roomy
	limits.Connections = 3
	r := start(t, limits, echoes(t))
	var conns []net.Conn
	for i := range 3 {
		conns = append(conns, dial(t, "tcp", r.addresses[0]))
		echoed(t, conns[i], "in")
	}
	waits := dial(t, "tcp", r.addresses[0])
	if _, err := waits.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = waits.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := waits.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the fourth: %v", err)
	}
	conns[1].Close()
	_ = waits.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(waits, make([]byte, 1)); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	echoed(t, conns[0], "still")
}

// Each client of UDP gets its own answers; one that is silent is forgotten, as
// is the oldest for a new one.
func TestRelayUDP(t *testing.T) {
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	var lock sync.Mutex
	seen := map[string]string{} // by text, who it came from
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := target.ReadFrom(buffer)
			if err != nil {
				return
			}
			lock.Lock()
			seen[string(buffer[:n])] = from.String()
			lock.Unlock()
			_, _ = target.WriteTo(buffer[:n], from)
		}
	}()
	limits := roomy
	limits.Clients, limits.UDP = 2, time.Second
	r := start(t, limits, "udp:"+target.LocalAddr().String())
	from := func(text string) string {
		lock.Lock()
		defer lock.Unlock()
		return seen[text]
	}
	a, b := dial(t, "udp", r.addresses[0]), dial(t, "udp", r.addresses[0])
	echoed(t, a, "a1")
	echoed(t, b, "b1")
	echoed(t, a, "a2")
	echoed(t, a, strings.Repeat("large ", 10_000))
	if from("a1") != from("a2") || from("a1") == from("b1") {
		t.Errorf("%v", seen)
	}
	if _, err := a.Write(nil); err != nil { // it has no bytes, and arrives
		t.Error(err)
	}
	if n, err := a.Read(make([]byte, 10)); n != 0 || err != nil {
		t.Errorf("an empty datagram: %d, %v", n, err)
	}
	c := dial(t, "udp", r.addresses[0])
	echoed(t, c, "c1") // in the place of b
	echoed(t, a, "a3")
	echoed(t, b, "b2")
	if from("a3") != from("a1") || from("b2") == from("b1") {
		t.Errorf("%v", seen)
	}
	time.Sleep(2500 * time.Millisecond)
	echoed(t, b, "b3")
	if from("b3") == from("b2") {
		t.Errorf("not forgotten: %v", seen)
	}
}

// What is sent before there is a socket inside is held, in order.
func TestRelayUDPHolds(t *testing.T) {
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := start(t, roomy, "udp:"+target.LocalAddr().String())
	conn := dial(t, "udp", r.addresses[0])
	for i := range 10 {
		if _, err := fmt.Fprint(conn, i); err != nil {
			t.Fatal(err)
		}
	}
	_ = target.SetReadDeadline(time.Now().Add(time.Minute))
	buffer := make([]byte, 10)
	for i := range 10 {
		n, _, err := target.ReadFrom(buffer)
		if err != nil || string(buffer[:n]) != fmt.Sprint(i) {
			t.Fatalf("%q, %v; want %d", buffer[:n], err, i)
		}
	}
}

// Indexes are used again more often than a token can count.
func TestTokens(t *testing.T) {
	for _, generation := range []uint32{0, 1, 1<<28 - 1, 1<<29 - 2, 1<<29 - 1} {
		for range 2 {
			got := newToken(7, client, generation)
			if got.index != 7 || got.kind() != client || got.generation() != generation {
				t.Errorf("%d: %+v, %d of %d", generation, got, got.kind(), got.generation())
			}
			generation = next(generation)
		}
	}
}

// A client that has gone does not hold the place of another one for as long as
// the kernel waits for a target.
func TestRelayLetsGoOfWhoHasGone(t *testing.T) {
	for _, linger := range []int{-1, 0} { // closed, and cut
		t.Run(fmt.Sprint(linger), func(t *testing.T) {
			t.Parallel()
			letsGo(t, linger)
		})
	}
}

func letsGo(t *testing.T, linger int) {
	busy, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(busy)
	if err := errors.Join(unix.Bind(busy, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(busy, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(busy)
	if err != nil {
		t.Fatal(err)
	}
	target := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	dial(t, "tcp", target) // the one that fits into its queue
	limits := roomy
	limits.Connections = 1
	r := start(t, limits, target, echoes(t))
	waits := dial(t, "tcp", r.addresses[0]).(*net.TCPConn)
	next := dial(t, "tcp", r.addresses[1])
	_ = next.SetReadDeadline(time.Now().Add(time.Second / 2))
	if _, err := next.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection: %v", err)
	}
	_ = waits.SetLinger(linger)
	waits.Close()
	_ = next.SetDeadline(time.Now().Add(time.Minute)) // half of the kernel's
	echoed(t, next, "its turn")
}

// What a client sends before it cuts its connection arrives, whether or not the
// target has answered by then.
func TestRelayPassesWhatWasSentBeforeACut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const times = 100
	came := make(chan string, times)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(conn)
			came <- string(text)
			conn.Close()
		}
	}()
	r := start(t, roomy, listener.Addr().String())
	for range times {
		conn := dial(t, "tcp", r.addresses[0]).(*net.TCPConn)
		_ = conn.SetLinger(0)
		_, err := conn.Write([]byte("last words"))
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range times {
		if text := <-came; text != "last words" {
			t.Fatalf("%d: %q", i, text)
		}
	}
}

// An end that is cut, refuses or times out has the other end cut, which a mere
// end of the connection would not tell.
func TestRelayCuts(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cuts, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer cuts.Close()
	accepted := make(chan *net.TCPConn, 10)
	go func() {
		for {
			conn, err := cuts.Accept()
			if err != nil {
				return
			}
			accepted <- conn.(*net.TCPConn)
		}
	}()
	limits := roomy
	limits.Timeout = time.Second
	r := start(t, limits, closed.Addr().String(), cuts.Addr().String(), echoes(t))
	idle := dial(t, "tcp", r.addresses[2])
	echoed(t, idle, "a")
	wantReset := func(what string, conn net.Conn) {
		t.Helper()
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: %v", what, err)
		}
	}

	conn, err := net.Dial("tcp", r.addresses[0])
	if err == nil {
		wantReset("refused", conn)
		conn.Close()
	} else if !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
	if said := <-r.said; said != fmt.Sprintf(`cannot reach %s in network namespace "test": connection refused`, closed.Addr()) {
		t.Error(said)
	}

	// What was sent before arrives.
	conn = dial(t, "tcp", r.addresses[1])
	inside := <-accepted
	if _, err := inside.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("last words"))); err != nil {
		t.Error(err)
	}
	_ = inside.SetLinger(0)
	inside.Close()
	wantReset("cut inside", conn)

	conn = dial(t, "tcp", r.addresses[1])
	inside = <-accepted
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	wantReset("cut outside", inside)

	conn = dial(t, "tcp", r.addresses[1])
	inside = <-accepted
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := inside.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("half closed: %v", err)
	}
	wantReset("half closed, and silent", conn)
	inside.Close()

	conn = dial(t, "tcp", r.addresses[1])
	inside = <-accepted
	for err = nil; err == nil; {
		_, err = conn.Write(make([]byte, 1<<16))
	}
	if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("nothing taken: %v", err)
	}
	inside.Close()
	echoed(t, idle, "after more than the timeout")
}
