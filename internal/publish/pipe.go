package publish

import "golang.org/x/sys/unix"

// pipe holds what has left one end of a connection and not reached the other
// (splice(2)). A direction has one only while something is in it.
type pipe struct {
	read, write int32
	pending     int32 // bytes in it
}

// pipes are those that nobody has.
type pipes struct {
	free []*pipe
	made int
}

const (
	// spare is how many are kept for the next one; large is how many of all
	// have room for largeSize bytes, what an ordinary user may have
	// (pipe-max-size in proc(5)): the more is moved at a time, the less often
	// anybody has to be woken. He gets 16384 pages for the size of all of his
	// pipes, and small ones from then on (pipe-user-pages-soft), so the others
	// are as they come: 64 kilobytes.
	spare     = 64
	large     = 16
	largeSize = 1 << 20
)

// get returns an empty pipe; nil if the kernel gives no more.
func (p *pipes) get() *pipe {
	if last := len(p.free) - 1; last >= 0 {
		taken := p.free[last]
		p.free = p.free[:last]
		return taken
	}
	read, write, errno := newPipe()
	if errno != 0 {
		return nil
	}
	if p.made++; p.made <= large {
		_, _, _ = unix.RawSyscall(unix.SYS_FCNTL, uintptr(write), unix.F_SETPIPE_SZ, largeSize)
	}
	return &pipe{read: read, write: write}
}

// put takes a pipe back. What is still in it goes.
func (p *pipes) put(old *pipe) {
	if old.pending == 0 && len(p.free) < spare {
		p.free = append(p.free, old)
		return
	}
	closeFD(old.read)
	closeFD(old.write)
	p.made--
}
