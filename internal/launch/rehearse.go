package launch

import "runtime"

// KernelError says that the kernel cannot, or may not, confine sockets.
type KernelError struct{ Err error }

func (e *KernelError) Error() string { return e.Err.Error() }
func (e *KernelError) Unwrap() error { return e.Err }

// Rehearse does what Enter does, on a thread of its own that takes all changes
// with it when it ends, except for what concerns the process: the program that
// confines sockets is loaded, and attached to no cgroup. If that fails the
// error is a *KernelError. Any thread may call it.
func (p *Plan) Rehearse() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		done <- p.rehearse()
	}()
	return <-done
}

func (p *Plan) rehearse() error {
	if err := p.enterView(); err != nil {
		return err
	}
	if p.confine != nil {
		err := p.findCookie()
		if err == nil {
			err = p.confine.Try()
		}
		if err != nil {
			return &KernelError{err}
		}
	}
	if p.credential != nil {
		if err := p.credential.become(); err != nil {
			return err
		}
	}
	return p.findCommand() // it may be hidden, for instance
}
