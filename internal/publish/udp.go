package publish

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clients are those of UDP. Each has a socket inside, so that an answer finds
// the way back, until it has been silent for a while.
type clients struct {
	r              *relay
	known          map[clientKey]*udpClient
	slots          []*udpClient // by their index
	free           []int32
	oldest, newest *udpClient // by when they were last heard of
	count          int
	in, out        *batch
}

// clientKey is who asked whom.
type clientKey struct {
	entry int
	peer  name
	local packetInfo
}

type udpClient struct {
	clientKey
	fd           int32 // -1: the connector has not answered
	index        int32
	generation   uint32
	seen         uint32 // the second in which something was last passed on
	older, newer *udpClient
	held         [][]byte // what came before there was a socket
}

func (u *clients) init(r *relay) {
	u.r = r
	for _, e := range r.entries {
		if e.Network == UDP {
			u.known = map[clientKey]*udpClient{}
			u.in, u.out = newBatch(true), newBatch(false)
			return
		}
	}
}

func (u *clients) any() bool { return u.count > 0 }

// rounds is how many batches are read before others have their turn.
const rounds = 4

// fromOutside passes on what clients have sent to an entry.
func (u *clients) fromOutside(entry int) {
	for range rounds {
		n, _ := u.in.receive(u.r.listeners[entry])
		for i := 0; i < n; {
			c := u.find(entry, u.in.from(i))
			first := i
			for i++; i < n && c != nil && u.in.from(i) == (sender{c.peer, c.local}); i++ {
			}
			if c != nil {
				u.send(c, first, i)
			}
		}
		if n < batchSize {
			return
		}
	}
}

// find returns the client that this is, or a new one; nil if there can be none.
func (u *clients) find(entry int, from sender) *udpClient {
	key := clientKey{entry, from.peer, from.local}
	c := u.known[key]
	if c != nil {
		u.touch(c)
		return c
	}
	if u.r.asked >= maxAsked {
		return nil
	}
	if u.count >= u.r.limits.Clients {
		if u.oldest.fd < 0 {
			return nil
		}
		u.forget(u.oldest)
	}
	if len(u.free) == 0 {
		u.free = append(u.free, int32(len(u.slots)))
		u.slots = append(u.slots, &udpClient{index: int32(len(u.slots))})
	}
	last := len(u.free) - 1
	c = u.slots[u.free[last]]
	u.free = u.free[:last]
	*c = udpClient{clientKey: key, fd: -1, index: c.index, generation: next(c.generation), seen: u.r.now}
	u.known[key] = c
	u.count++
	u.link(c)
	u.r.request(^c.index, entry)
	return c
}

// send passes datagrams of the batch on to the target.
func (u *clients) send(c *udpClient, from, to int) {
	if c.fd >= 0 {
		u.out.clear()
		for i := from; i < to; i++ {
			u.out.add(u.in.data(i), nil, nil)
		}
		u.check(c, u.out.send(c.fd))
		return
	}
	const room = batchSize
	for i := from; i < to && len(c.held) < room; i++ {
		c.held = append(c.held, append([]byte(nil), u.in.data(i)...))
	}
}

// connected takes the socket of a client from the connector.
func (u *clients) connected(index, fd int32, errno unix.Errno) {
	c := u.slots[index]
	if errno == 0 {
		c.fd = fd
		errno = u.r.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, newToken(int(index), client, c.generation))
	}
	u.check(c, errno)
	if errno != 0 {
		u.forget(c)
		return
	}
	u.out.clear()
	for _, data := range c.held {
		u.out.add(data, nil, nil)
	}
	c.held = nil
	u.check(c, u.out.send(fd))
}

// event passes on what the target answers.
func (u *clients) event(t token) {
	c := u.slots[t.index]
	if c.generation != t.generation() || c.fd < 0 {
		return
	}
	for range rounds {
		n, errno := u.in.receive(c.fd)
		u.check(c, errno)
		if n == 0 {
			return
		}
		u.touch(c)
		u.out.clear()
		for i := range n {
			u.out.add(u.in.data(i), &c.peer, &c.local)
		}
		_ = u.out.send(u.r.listeners[c.entry]) // datagrams may get lost
		if n < batchSize {
			return
		}
	}
}

// check says that a target cannot be reached.
func (u *clients) check(c *udpClient, errno unix.Errno) {
	if errno != 0 && errno != unix.EAGAIN {
		u.r.say(c.entry, fmt.Sprintf("cannot reach %s in network namespace %q: %v", u.r.entries[c.entry].Target, u.r.netns, errno))
	}
}

// expire forgets the clients that have been silent for too long.
func (u *clients) expire() {
	for c := u.oldest; c != nil && c.fd >= 0 && time.Duration(u.r.now-c.seen)*time.Second > u.r.limits.UDP; c = u.oldest {
		u.forget(c)
	}
}

func (u *clients) forget(c *udpClient) {
	if c.fd >= 0 {
		closeFD(c.fd)
	}
	c.fd, c.held = -1, nil
	u.unlink(c)
	delete(u.known, c.clientKey)
	u.free = append(u.free, c.index)
	u.count--
}

func (u *clients) touch(c *udpClient) {
	if c.seen = u.r.now; c != u.newest {
		u.unlink(c)
		u.link(c)
	}
}

// link makes c the newest.
func (u *clients) link(c *udpClient) {
	c.older, c.newer = u.newest, nil
	if u.newest != nil {
		u.newest.newer = c
	} else {
		u.oldest = c
	}
	u.newest = c
}

func (u *clients) unlink(c *udpClient) {
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		u.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		u.newest = c.older
	}
}

// batch is what one system call takes or brings (recvmmsg(2), sendmmsg(2)).
type batch struct {
	headers  [batchSize]multiHeader
	vectors  [batchSize]unix.Iovec
	names    [batchSize]name
	controls [batchSize]packetControl
	buffers  []byte // none for what is only sent
	count    int
}

const (
	batchSize = 16
	maxSize   = 1 << 16 // no datagram is larger
	sendFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
)

// multiHeader is struct mmsghdr of sys/socket.h.
type multiHeader struct {
	header unix.Msghdr
	size   uint32
}

func newBatch(receives bool) *batch {
	b := new(batch)
	if receives {
		b.buffers = make([]byte, batchSize*maxSize)
	}
	for i := range b.headers {
		b.headers[i].header.Iov = &b.vectors[i]
		b.headers[i].header.SetIovlen(1)
	}
	return b
}

// receive reads what there is. An error is that of an earlier datagram, which
// somebody refused, and there may be more to read.
func (b *batch) receive(fd int32) (n int, errno unix.Errno) {
	for i := range b.headers {
		b.vectors[i].Base = &b.buffers[i*maxSize]
		b.vectors[i].SetLen(maxSize)
		h := &b.headers[i].header
		h.Name, h.Namelen = &b.names[i].raw[0], uint32(len(b.names[i].raw))
		h.Control = (*byte)(unsafe.Pointer(&b.controls[i]))
		h.SetControllen(int(unsafe.Sizeof(b.controls[i])))
	}
	count, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers)), batchSize,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(count), 0
}

// data is a datagram that was received.
func (b *batch) data(i int) []byte { return b.buffers[i*maxSize:][:b.headers[i].size] }

// sender is where a datagram came from, and to which address of the host it
// went, if that is not known anyway.
type sender struct {
	peer  name
	local packetInfo
}

func (b *batch) from(i int) (s sender) {
	h := &b.headers[i].header
	s.peer.size = h.Namelen
	copy(s.peer.raw[:], b.names[i].raw[:h.Namelen])
	s.local = b.controls[i].info(int(h.Controllen))
	return s
}

func (b *batch) clear() { b.count = 0 }

// add takes a datagram to send, and where to if the socket does not know.
func (b *batch) add(data []byte, peer *name, local *packetInfo) {
	if b.count == batchSize {
		return
	}
	h := &b.headers[b.count].header
	b.vectors[b.count].Base = nil
	if len(data) > 0 {
		b.vectors[b.count].Base = &data[0]
	}
	b.vectors[b.count].SetLen(len(data))
	h.Name, h.Namelen, h.Control = nil, 0, nil
	h.SetControllen(0)
	if peer != nil {
		h.Name, h.Namelen = &peer.raw[0], peer.size
	}
	if local != nil && local.size > 0 {
		b.controls[b.count].set(local)
		h.Control = (*byte)(unsafe.Pointer(&b.controls[b.count]))
		h.SetControllen(unix.CmsgSpace(int(local.size)))
	}
	b.count++
}

// send sends what was added. The kernel reports an error of an earlier datagram
// in place of sending the next one, which then has another try.
func (b *batch) send(fd int32) (failed unix.Errno) {
	for i, again := 0, false; i < b.count; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[i])),
			uintptr(b.count-i), sendFlags, 0, 0)
		switch {
		case errno == 0:
			i += int(n)
			again = false
		case errno == unix.ECONNREFUSED && !again:
			failed, again = errno, true
		default:
			return errno
		}
	}
	return failed
}
