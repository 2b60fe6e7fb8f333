package vm

import (
	"fmt"
	"os"
)

// postbox is one end of a connection between the program and the guest's agent:
// whatever is written becomes a file of a folder that both see, and a byte over
// a serial line tells the other end. The bytes themselves do not go over the
// line because those of User-Mode Linux stall now and then when they carry
// much.
type postbox struct {
	bell     *os.File
	folder   *os.Root
	out, in  string // how names of files begin, each way
	sent     int
	received int
	unread   []byte
}

func (p *postbox) Write(content []byte) (int, error) {
	if err := p.folder.WriteFile(fmt.Sprint(p.out, p.sent), content, 0o600); err != nil {
		return 0, err
	}
	p.sent++
	if _, err := p.bell.WriteString("\n"); err != nil {
		return 0, err
	}
	return len(content), nil
}

func (p *postbox) Read(buffer []byte) (int, error) {
	for len(p.unread) == 0 {
		if _, err := p.bell.Read(make([]byte, 1)); err != nil {
			return 0, err
		}
		name := fmt.Sprint(p.in, p.received)
		var err error
		if p.unread, err = p.folder.ReadFile(name); err != nil {
			return 0, err
		}
		if err := p.folder.Remove(name); err != nil {
			return 0, err
		}
		p.received++
	}
	n := copy(buffer, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}

func (p *postbox) Close() error {
	p.folder.Close()
	return p.bell.Close()
}
