package publish

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a connection: the one that was accepted, and the one to the target.
// The two ends are called by their index, 0 outside and 1 inside; what comes
// from an end has its index too.
type conn struct {
	fd         [2]int32 // -1: none
	pipe       [2]*pipe // what came from this end and has not gone to the other
	index      int32
	generation uint32
	moved      uint32 // the second in which something last happened
	entry      uint16
	end        [2]end

	connecting bool // the target has not answered; the kernel has its timeout
	broken     bool // an end was cut: so will the other be
	timed      bool // it has a timeout
	queued     bool // it is in relay.busy
	dry        bool // it is in relay.dry
}

// end is what is known of an end. That something can be read or written is so
// until the kernel says that it is not (EPOLLET in epoll(7)).
type end struct {
	readable, writable bool
	done               bool // nothing more comes from it
	shut               bool // nothing more goes to it
}

// connEvents are those that both ends are watched for, once and for all.
const connEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff

func (r *relay) newConn(entry int, fd int32) *conn {
	const slab = 64 // made at a time
	if len(r.free) == 0 {
		more := make([]conn, slab)
		for i := range more {
			more[i].index = int32(len(r.conns))
			more[i].fd = [2]int32{-1, -1}
			r.conns = append(r.conns, &more[i])
			r.free = append(r.free, more[i].index)
		}
	}
	last := len(r.free) - 1
	c := r.conns[r.free[last]]
	r.free = r.free[:last]
	*c = conn{fd: [2]int32{fd, -1}, index: c.index, generation: next(c.generation), moved: r.now, entry: uint16(entry),
		connecting: true, queued: c.queued, dry: c.dry}
	r.active++
	return c
}

// connected takes the socket that leads to the target, or is about to.
func (r *relay) connected(c *conn, fd int32, errno unix.Errno) {
	c.fd[1] = fd
	for i, k := range [2]kind{outside, inside} {
		if errno == 0 {
			errno = r.control(unix.EPOLL_CTL_ADD, c.fd[i], connEvents, newToken(int(c.index), k, c.generation))
		}
	}
	if errno != 0 {
		r.unreachable(c, errno.Error())
	}
}

// unreachable says that a target cannot be reached, and cuts the connection.
func (r *relay) unreachable(c *conn, why string) {
	r.say(int(c.entry), fmt.Sprintf("cannot reach %s in network namespace %q: %s", r.entries[c.entry].Target, r.netns, why))
	r.cut(c)
}

// cut ends a connection, so that both ends see that something went wrong.
func (r *relay) cut(c *conn) {
	for _, fd := range c.fd {
		if fd >= 0 {
			reset(fd)
		}
	}
	r.drop(c)
}

// drop ends a connection.
func (r *relay) drop(c *conn) {
	for i, fd := range c.fd {
		if fd >= 0 {
			closeFD(fd) // and is no longer watched
		}
		r.release(c, i)
	}
	r.setTimed(c, false)
	c.fd = [2]int32{-1, -1}
	r.active--
	r.free = append(r.free, c.index)
}

// release takes the pipe of a direction back.
func (r *relay) release(c *conn, from int) {
	if p := c.pipe[from]; p != nil {
		c.pipe[from] = nil
		r.put(p)
	}
}

func (r *relay) event(c *conn, at int, events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.end[at].readable = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.end[at].writable = true
	}
	if c.connecting {
		if at == 0 {
			// What a client that may have gone has sent can still arrive, but it
			// does not hold its place for as long as the kernel waits.
			if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && !c.timed {
				c.moved = r.now
				r.setTimed(c, true)
			}
			return
		}
		if events&unix.EPOLLERR != 0 {
			r.unreachable(c, socketError(c.fd[1]).Error())
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		c.connecting = false
		c.moved = r.now
	}
	if events&unix.EPOLLERR != 0 && c.end[at].done {
		r.breaks(c, at) // nobody reads from it any more, and would be told
	}
	r.pump(c)
}

// pump moves what can be moved.
func (r *relay) pump(c *conn) {
	again := r.move(c, 0)
	again = r.move(c, 1) || again
	switch {
	case c.end[0].shut && c.end[1].shut && c.broken:
		r.cut(c)
		return
	case c.end[0].shut && c.end[1].shut:
		r.drop(c)
		return
	case again:
		r.enqueue(c)
	}
	half := c.end[0].done != c.end[1].done
	r.setTimed(c, half || c.broken || c.pipe[0] != nil || c.pipe[1] != nil)
}

// move moves what came from one end to the other, and reports whether there may
// be more to move at once. What it cannot get rid of stays in the pipe, and
// nothing more is read meanwhile.
func (r *relay) move(c *conn, from int) (again bool) {
	const turn = 8 // then others have theirs
	source, sink := &c.end[from], &c.end[1-from]
	if sink.shut {
		return false
	}
	for range turn {
		if c.pipe[from] == nil && !r.fill(c, from) {
			if source.done {
				r.finish(c, 1-from)
			}
			return false
		}
		if !sink.writable {
			return false
		}
		p := c.pipe[from]
		n, errno := splice(p.read, c.fd[1-from], p.pending)
		switch errno {
		case 0:
			c.moved = r.now
			if p.pending -= n; p.pending == 0 {
				r.release(c, from)
			}
		case unix.EAGAIN:
			sink.writable = false
			return false
		default:
			r.breaks(c, 1-from)
			return false
		}
	}
	return true
}

// fill reads from an end into a pipe.
func (r *relay) fill(c *conn, from int) bool {
	source := &c.end[from]
	if source.done || !source.readable {
		return false
	}
	p := r.get()
	if p == nil {
		if !c.dry {
			c.dry = true
			r.dry = append(r.dry, c)
		}
		return false
	}
	n, errno := splice(c.fd[from], p.write, largeSize)
	if errno == 0 && n > 0 {
		c.moved = r.now
		p.pending = n
		c.pipe[from] = p
		return true
	}
	r.put(p)
	switch errno {
	case 0:
		c.moved = r.now
		source.done = true
	case unix.EAGAIN:
		source.readable = false
	default:
		source.done = true
		r.breaks(c, from)
	}
	return false
}

// finish tells an end that nothing more comes.
func (r *relay) finish(c *conn, at int) {
	if c.end[1-at].shut {
		c.end[at].shut = true // the close tells it
		return
	}
	shutdownWrite(c.fd[at])
	c.end[at].shut = true
}

// breaks notes that an end was cut. Nothing goes to it any more. What came from
// it, and what it has sent before, still goes to the other, which is cut then.
func (r *relay) breaks(c *conn, at int) {
	c.broken = true
	c.end[at].shut, c.end[at].readable = true, true
	r.release(c, 1-at)
	r.enqueue(c)
}

// enqueue has a connection go on after the others.
func (r *relay) enqueue(c *conn) {
	if !c.queued {
		c.queued = true
		r.busy = append(r.busy, c)
	}
}

func (r *relay) setTimed(c *conn, timed bool) {
	if c.timed != timed {
		c.timed = timed
		if timed {
			r.timed++
		} else {
			r.timed--
		}
	}
}

func (r *relay) checkTimeout(c *conn) {
	silence := time.Duration(r.now-c.moved) * time.Second
	switch {
	case c.connecting:
		if silence > ConnectTimeout {
			r.unreachable(c, "it does not answer")
		}
	case silence > r.limits.Timeout:
		r.cut(c)
	}
}
