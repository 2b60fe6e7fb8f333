package main

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// echo is a server with a few bytes for each connection, however many there
// are.
func echo(text string) error {
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	raiseLimit()
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(listener, loopback(port)); err != nil {
		return err
	}
	if err := unix.Listen(listener, 4096); err != nil {
		return err
	}
	poll, err := unix.EpollCreate1(0)
	if err != nil {
		return err
	}
	watch := func(fd int) error {
		return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err := watch(listener); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 100)
	buffer := make([]byte, 100)
	for {
		n, err := unix.EpollWait(poll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			fd := int(event.Fd)
			if fd == listener {
				for err = error(nil); err == nil; { // all that wait: the next ones need the room
					if fd, _, err = unix.Accept(listener); err == nil {
						err = watch(fd)
					}
				}
				if err != unix.EAGAIN {
					return err
				}
				continue
			}
			n, err := unix.Read(fd, buffer)
			if err != nil || n == 0 {
				unix.Close(fd)
				continue
			}
			if _, err := unix.Write(fd, buffer[:n]); err != nil {
				return err
			}
		}
	}
}

// crowd is as many clients of it at once.
func crowd(port, count string) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	raiseLimit()
	var open []int
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 600})
		}
		if err == nil {
			err = unix.Connect(fd, loopback(number))
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		open = append(open, fd)
	}
	for round := range 2 {
		question := func(i int) string { return fmt.Sprint(round, i) }
		for i, fd := range open {
			if _, err := unix.Write(fd, []byte(question(i))); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		for i, fd := range open {
			answer := make([]byte, 100)
			n, err := unix.Read(fd, answer)
			for err == unix.EINTR { // with a timeout, read(2) is not restarted
				n, err = unix.Read(fd, answer)
			}
			if err != nil || string(answer[:n]) != question(i) {
				return fmt.Errorf("connection %d: %q, %v", i, answer[:max(n, 0)], err)
			}
		}
	}
	fmt.Println(len(open), "at once")
	return nil
}

func loopback(port int) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

// raiseLimit makes room for many descriptors, where that is allowed.
func raiseLimit() {
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 17, Max: 1 << 17})
}
