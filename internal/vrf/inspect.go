package vrf

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// ErrUnreadable says that our program is on the cgroup, and that the kernel
// does not show what it does, as with net.core.bpf_jit_harden=2.
var ErrUnreadable = errors.New("the kernel does not show the BPF program")

// Inspect reads back what Apply has put on a cgroup; nil where no program of
// ours is on it, or no such cgroup exists. The Device has no name. It needs
// CAP_SYS_ADMIN; any thread may call it.
func Inspect(confined string) (*Confinement, error) {
	root, err := cgroup.OpenRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := root.Open(confined)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	there, err := attached(dir)
	if err != nil {
		return nil, err
	}
	defer there.close()
	if len(there.ours) == 0 {
		return nil, nil
	}
	instructions, err := translated(there.ours[0])
	if err != nil {
		return nil, err
	}
	return recognize(instructions)
}

// PutBack puts the program on a cgroup that Apply has returned, and that nobody
// else is in, and reports whether it was missing. It needs what Apply needs; any
// thread may call it.
func (c Confinement) PutBack(confined string) (missing bool, err error) {
	root, err := cgroup.OpenRoot()
	if err != nil {
		return false, err
	}
	defer root.Close()
	dir, err := root.Open(confined)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	there, err := attached(dir)
	if err != nil {
		return false, err
	}
	defer there.close()
	if len(there.ours) > 0 {
		return false, nil
	}
	fd, err := c.load()
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	return true, attach(dir, fd, there)
}

// recognize is the reverse of Confinement.program. The kernel puts its own
// instructions in place of some, but leaves the constants alone.
func recognize(instructions []instruction) (*Confinement, error) {
	const r0, r1, r2 = 0, 1, 2
	var c Confinement
	var cookie, result bool
	for i, in := range instructions {
		switch {
		case in.code == load64K && in.registers == registers(r1, 0) && i+1 < len(instructions):
			c.Cookie = uint64(uint32(in.immediate)) | uint64(uint32(instructions[i+1].immediate))<<32
			cookie = true
		case in.code == move64K && in.registers == registers(r2, 0):
			c.Device.Index = uint32(in.immediate)
		case in.code == move64K && in.registers == registers(r0, 0): // the last one is for elsewhere
			c.Lock = in.immediate == 0
			result = true
		}
	}
	if !cookie || !result {
		return nil, ErrUnreadable
	}
	return &c, nil
}

// translated returns the instructions of a program as the kernel runs them;
// none where it shows none.
func translated(program int) ([]instruction, error) {
	// struct bpf_prog_info of linux/bpf.h, up to where the instructions go.
	var pin runtime.Pinner
	defer pin.Unpin()
	var buffer [64]instruction
	pin.Pin(&buffer)
	info := struct {
		kind, id         uint32
		tag              [8]byte
		jitedLen, xlated uint32
		jitedInstrs      uint64
		instructions     uint64
	}{
		xlated:       uint32(unsafe.Sizeof(buffer)),
		instructions: uint64(uintptr(unsafe.Pointer(&buffer[0]))),
	}
	pin.Pin(&info)
	attr := struct {
		fd, size uint32
		info     uint64
	}{uint32(program), uint32(unsafe.Sizeof(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	_, err := bpf(objGetInfo, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	if info.instructions == 0 {
		return nil, ErrUnreadable
	}
	count := min(int(info.xlated)/int(unsafe.Sizeof(instruction{})), len(buffer))
	return buffer[:count], nil
}
