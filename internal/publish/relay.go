package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/sandbox"
)

// Limits are those of a relay.
type Limits struct {
	Connections int // at once; the others wait to be accepted
	Clients     int // of UDP; for a new one the one that was silent longest goes
	// Timeout ends a connection of which one half is closed, or whose peer
	// takes nothing of what waits for it, if nothing happens for so long.
	Timeout time.Duration
	UDP     time.Duration // of silence, after which a client is forgotten
}

// Descriptors is what RLIMIT_NOFILE has to be: two for a connection, and two
// for the pipe of each of its directions.
func (l Limits) Descriptors() int { return 6*l.Connections + l.Clients + others }

// others are listeners, and what the runtime and a reserve need.
const others = 512

// Fit lowers the limits to an RLIMIT_NOFILE, and reports whether that leaves
// any. A stalled connection has one pipe rather than two.
func (l *Limits) Fit(descriptors int) bool {
	l.Clients = min(l.Clients, descriptors/8)
	l.Connections = min(l.Connections, (descriptors-l.Clients-others)/4)
	return l.Connections > 0
}

// ConnectTimeout is how long a target has to answer a client that has closed its
// connection meanwhile. One that waits has the kernel's patience.
const ConnectTimeout = 10 * time.Second

// relay is the process that has the sockets of both networks.
type relay struct {
	*poller
	netns     string
	entries   []Entry
	listeners []int32 // one an entry
	limits    Limits
	say       func(entry int, text string)

	now   uint32 // seconds since the start
	begin time.Time
	ticks uint32 // the last time that timeouts were looked for

	conns  []*conn // by their index
	free   []int32 // indexes of those that are not in use
	active int
	timed  int     // connections that have a timeout
	busy   []*conn // to go on with
	turn   []*conn // those of catchUp
	dry    []*conn // have no pipe, because there was none
	pipes

	connector int32
	requests  []byte // for the connector, not sent yet
	asked     int    // sent and not answered, and those
	message   [maxMessage * pairSize]byte
	rights

	paused bool   // nothing is accepted
	until  uint32 // and will not be before this

	udp clients
}

// relayCalls are the system calls that a relay needs beside those of the
// runtime: it moves bytes between descriptors, and gets them from accept4 and
// the connector alone.
func relayCalls(entries []Entry) []sandbox.Call {
	is := sandbox.Is
	calls := []sandbox.Call{
		{Number: unix.SYS_EPOLL_PWAIT},
		{Number: unix.SYS_EPOLL_CTL},
		{Number: unix.SYS_SHUTDOWN},
		{Number: unix.SYS_ACCEPT4, Args: []sandbox.Arg{is(3, acceptFlags)}},
		{Number: unix.SYS_SPLICE, Args: []sandbox.Arg{is(5, spliceFlags)}},
		{Number: unix.SYS_PIPE2, Args: []sandbox.Arg{is(1, pipeFlags)}},
		{Number: unix.SYS_FCNTL, Args: []sandbox.Arg{is(1, unix.F_SETPIPE_SZ)}},
		{Number: unix.SYS_IOCTL, Args: []sandbox.Arg{is(1, unix.SIOCOUTQ)}},
		{Number: unix.SYS_SETSOCKOPT, Args: []sandbox.Arg{is(1, unix.SOL_SOCKET), is(2, unix.SO_LINGER)}},
		{Number: unix.SYS_GETSOCKOPT, Args: []sandbox.Arg{is(1, unix.SOL_SOCKET), is(2, unix.SO_ERROR)}},
		{Number: unix.SYS_RECVMSG, Args: []sandbox.Arg{is(2, receiveFlags)}},
	}
	for _, e := range entries {
		if e.Network == UDP {
			return append(calls,
				sandbox.Call{Number: unix.SYS_RECVMMSG, Args: []sandbox.Arg{is(3, unix.MSG_DONTWAIT)}},
				sandbox.Call{Number: unix.SYS_SENDMMSG, Args: []sandbox.Arg{is(3, sendFlags)}})
		}
	}
	return calls
}

// Relay is the relay: it seals the process, and passes on what comes to the
// listeners, one of each entry, for as long as the connector lives. It says
// what goes wrong with an entry, by its index.
func Relay(netns string, entries []Entry, listeners []int, connector int, limits Limits, say func(entry int, text string)) error {
	r, err := newRelay(netns, entries, listeners, connector, limits, say)
	if err != nil {
		return err
	}
	if err := sandbox.Seal(relayCalls(entries)); err != nil {
		return err
	}
	return r.run()
}

func newRelay(netns string, entries []Entry, listeners []int, connector int, limits Limits, say func(int, string)) (*relay, error) {
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	r := &relay{poller: p, netns: netns, entries: entries, limits: limits, say: say, connector: int32(connector), begin: time.Now()}
	if errno := r.control(unix.EPOLL_CTL_ADD, r.connector, unix.EPOLLIN, newToken(0, answers, 0)); errno != 0 {
		return nil, fmt.Errorf("epoll_ctl: %w", errno)
	}
	for i, fd := range listeners {
		r.listeners = append(r.listeners, int32(fd))
		if errno := r.control(unix.EPOLL_CTL_ADD, int32(fd), unix.EPOLLIN, r.listenerToken(i)); errno != 0 {
			return nil, fmt.Errorf("epoll_ctl: %w", errno)
		}
	}
	r.udp.init(r)
	return r, nil
}

func (r *relay) listenerToken(entry int) token {
	if r.entries[entry].Network == UDP {
		return newToken(entry, datagrams, 0)
	}
	return newToken(entry, acceptor, 0)
}

func (r *relay) run() error {
	for {
		events := r.wait(r.patience())
		r.now = uint32(time.Since(r.begin) / time.Second)
		for i := range events {
			if err := r.handle(&events[i]); err != nil {
				return err
			}
		}
		r.catchUp()
		if r.now != r.ticks {
			r.ticks = r.now
			r.tick()
		}
		r.ask()
		r.resume()
	}
}

// patience is how long to wait for an event, in milliseconds.
func (r *relay) patience() int {
	switch {
	case len(r.busy) > 0:
		return 0
	case r.timed > 0, r.paused, len(r.dry) > 0, r.udp.any():
		return 1000
	}
	return -1
}

func (r *relay) handle(event *unix.EpollEvent) error {
	t := token{event.Fd, event.Pad}
	switch t.kind() {
	case acceptor:
		r.accept(int(t.index))
	case answers:
		return r.takeAnswers()
	case datagrams:
		r.udp.fromOutside(int(t.index))
	case client:
		r.udp.event(t)
	default:
		if c := r.conns[t.index]; c.generation == t.generation() && c.fd[0] >= 0 {
			r.event(c, int(t.kind()-outside), event.Events)
		}
	}
	return nil
}

// accept takes the connections that wait at a listener.
func (r *relay) accept(entry int) {
	const burst = 64 // then it is the turn of others
	for range burst {
		if r.active >= r.limits.Connections || r.asked >= maxAsked {
			r.pause(0)
			return
		}
		fd, errno := accept(r.listeners[entry])
		switch errno {
		case 0:
			r.request(r.newConn(entry, fd).index, entry)
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			r.say(entry, "cannot accept a connection: "+errno.Error())
			r.pause(1)
			return
		}
		// Any other error is of one connection, which has gone (accept(2)).
	}
}

// pause stops accepting, for as many seconds at least.
func (r *relay) pause(seconds uint32) {
	if seconds > 0 {
		r.until = r.now + seconds + 1
	}
	if !r.paused {
		r.paused = true
		r.listenFor(0)
	}
}

// resume ends a pause.
func (r *relay) resume() {
	if r.paused && r.now >= r.until && r.active < r.limits.Connections && r.asked <= maxAsked/2 {
		r.paused = false
		r.listenFor(unix.EPOLLIN)
	}
}

func (r *relay) listenFor(events uint32) {
	for i, fd := range r.listeners {
		if r.entries[i].Network != UDP {
			_ = r.control(unix.EPOLL_CTL_MOD, fd, events, r.listenerToken(i))
		}
	}
}

// request asks the connector for a socket.
func (r *relay) request(index int32, entry int) {
	r.requests = binary.NativeEndian.AppendUint32(r.requests, uint32(index))
	r.requests = binary.NativeEndian.AppendUint32(r.requests, uint32(entry))
	r.asked++
	if len(r.requests) == maxMessage*pairSize {
		r.ask()
	}
}

func (r *relay) ask() {
	if len(r.requests) > 0 {
		_ = write(r.connector, r.requests) // an error comes with the answer
		r.requests = r.requests[:0]
	}
}

// takeAnswers takes sockets from the connector.
func (r *relay) takeAnswers() error {
	for {
		message, fds, errno := receiveDescriptors(r.connector, r.message[:], &r.rights)
		if errno == unix.EAGAIN {
			return nil
		}
		if errno != 0 || len(message) == 0 {
			return errors.New("the other process has ended")
		}
		for ; len(message) >= pairSize; message = message[pairSize:] {
			index := int32(binary.NativeEndian.Uint32(message))
			errno := unix.Errno(binary.NativeEndian.Uint32(message[wordSize:]))
			fd := int32(-1)
			switch {
			case errno != 0:
			case len(fds) == 0:
				errno = unix.EMFILE // there was no room for it (unix(7), BUGS)
			default:
				fd, fds = fds[0], fds[1:]
			}
			r.asked--
			if index < 0 {
				r.udp.connected(^index, fd, errno)
			} else {
				r.connected(r.conns[index], fd, errno)
			}
		}
	}
}

// catchUp goes on with connections that have had their turn, and are not done.
func (r *relay) catchUp() {
	r.turn, r.busy = r.busy, r.turn[:0]
	for _, c := range r.turn {
		c.queued = false
		if c.fd[0] >= 0 && !c.connecting { // it may be another one by now
			r.pump(c)
		}
	}
}

// tick ends what has waited for too long. It is for once in a second.
func (r *relay) tick() {
	for _, c := range r.dry {
		c.dry = false
		r.enqueue(c)
	}
	r.dry = r.dry[:0]
	r.udp.expire()
	if r.timed == 0 {
		return
	}
	for _, c := range r.conns {
		if c.timed {
			r.checkTimeout(c)
		}
	}
}
