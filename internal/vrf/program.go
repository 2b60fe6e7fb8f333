package vrf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// programName is what bpftool(8) shows, and how we know our own again.
const programName = "openrc_netns"

// instruction is struct bpf_insn of linux/bpf.h.
type instruction struct {
	code      uint8
	registers uint8
	offset    int16
	immediate int32
}

// registers packs two register numbers as C packs bit fields: the first one,
// the destination, into the low four bits, or the high ones where the machine
// is big-endian.
func registers(destination, source uint8) uint8 {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		destination, source = source, destination
	}
	return source<<4 | destination
}

// The opcodes that the program is made of, of linux/bpf.h and bpf_common.h.
const (
	move64   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	move64K  = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	load64K  = unix.BPF_LD | unix.BPF_DW | unix.BPF_IMM
	load32   = unix.BPF_LDX | unix.BPF_W | unix.BPF_MEM
	store32  = unix.BPF_STX | unix.BPF_W | unix.BPF_MEM
	jumpNot  = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_X
	jumpNotK = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
	jumpGtK  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	call     = unix.BPF_JMP | unix.BPF_CALL
	exit     = unix.BPF_JMP | unix.BPF_EXIT

	getNetnsCookie = 122 // BPF_FUNC_get_netns_cookie
	boundDevIf     = 0   // offsetof(struct bpf_sock, bound_dev_if)
	protocol       = 12  // offsetof(struct bpf_sock, protocol)

	// lastProtocol is the last number that an IP header has room for. What is
	// above, IPPROTO_SMC and IPPROTO_MPTCP of linux/in.h, is not a protocol on
	// the wire, and its sockets are a front: the kernel makes those behind it
	// itself, and asks no program about them. SMC is an address family, AF_SMC,
	// too. Its sockets are out of reach: the kernel asks about those of AF_INET
	// and AF_INET6 (inet_create and inet6_create), and not about them.
	lastProtocol = unix.IPPROTO_RAW
)

// program is for BPF_CGROUP_INET_SOCK_CREATE: it is given the new socket as a
// struct bpf_sock, and returns 1 to admit it, 0 to refuse it with EPERM.
//
// A socket that is bound already was bound by a program further down, because
// the kernel runs those of child cgroups first: by "ip vrf exec" inside.
// Somebody asked for that, and it stays.
//
// What cannot be bound, for the reason given at lastProtocol, is refused. The
// lock alone admits it: the sockets behind a front are in its namespace.
func (c Confinement) program() []instruction {
	elsewhere := int32(1)
	if c.Lock {
		elsewhere = 0
	}
	last := int32(math.MaxInt32)
	if c.Device.Index != 0 {
		last = lastProtocol
	}
	const r0, r1, r2, r6 = 0, 1, 2, 6
	return []instruction{
		{move64, registers(r6, r1), 0, 0}, // r6 = the socket
		{call, 0, 0, getNetnsCookie},      // r0 = its namespace
		{load64K, registers(r1, 0), 0, int32(uint32(c.Cookie))},
		{0, 0, 0, int32(uint32(c.Cookie >> 32))},
		{jumpNot, registers(r0, r1), 10, 0}, // another namespace: elsewhere
		{load32, registers(r1, r6), protocol, 0},
		{jumpGtK, registers(r1, 0), 6, last}, // refused
		{load32, registers(r1, r6), boundDevIf, 0},
		{jumpNotK, registers(r1, 0), 2, 0}, // bound already: here
		{move64K, registers(r2, 0), 0, int32(c.Device.Index)},
		{store32, registers(r6, r2), boundDevIf, 0},
		{move64K, registers(r0, 0), 0, 1}, // here
		{exit, 0, 0, 0},
		{move64K, registers(r0, 0), 0, 0}, // refused
		{exit, 0, 0, 0},
		{move64K, registers(r0, 0), 0, elsewhere}, // elsewhere
		{exit, 0, 0, 0},
	}
}

// The commands of bpf(2), and the flags of BPF_PROG_ATTACH.
const (
	progLoad       = unix.BPF_PROG_LOAD
	progAttach     = unix.BPF_PROG_ATTACH
	progDetach     = unix.BPF_PROG_DETACH
	progGetFdByID  = unix.BPF_PROG_GET_FD_BY_ID
	objGetInfo     = unix.BPF_OBJ_GET_INFO_BY_FD
	progQuery      = unix.BPF_PROG_QUERY
	progTypeSock   = unix.BPF_PROG_TYPE_CGROUP_SOCK
	attachType     = unix.BPF_CGROUP_INET_SOCK_CREATE
	flagAllowMulti = unix.BPF_F_ALLOW_MULTI
	flagReplace    = unix.BPF_F_REPLACE
	queryEffective = unix.BPF_F_QUERY_EFFECTIVE
)

// bpf is bpf(2). The structs handed to it are the heads of union bpf_attr; the
// kernel takes what is missing for zero. What they point to by number has to be
// pinned: a stack that grows moves, and with it all that is on it.
func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	var errno unix.Errno
	for range attempts {
		var r uintptr
		r, _, errno = unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EAGAIN, unix.EINTR: // the verifier was interrupted
			continue
		}
		break
	}
	return -1, errno
}

// load loads the program and returns its descriptor.
func (c Confinement) load() (int, error) { return load(c.program()) }

func load(instructions []instruction) (int, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	license := []byte("BSD\x00")
	pin.Pin(&instructions[0])
	pin.Pin(&license[0])
	attr := struct {
		progType         uint32
		count            uint32
		instructions     uint64
		license          uint64
		logLevel         uint32
		logSize          uint32
		logBuffer        uint64
		kernelVersion    uint32
		flags            uint32
		name             [16]byte
		ifindex          uint32
		expectedAttached uint32
	}{
		progType:         progTypeSock,
		count:            uint32(len(instructions)),
		instructions:     uint64(uintptr(unsafe.Pointer(&instructions[0]))),
		license:          uint64(uintptr(unsafe.Pointer(&license[0]))),
		expectedAttached: attachType,
	}
	copy(attr.name[:], programName)
	fd, err := bpf(progLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case errors.Is(err, unix.EPERM):
		return -1, errors.New("the kernel refuses to load a BPF program: CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, are needed")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return -1, fmt.Errorf("the kernel does not accept the BPF program (%w): Linux 5.7 or later with CONFIG_CGROUP_BPF is needed", err)
	case errors.Is(err, unix.ENOSYS):
		return -1, errors.New("this kernel has no bpf(2): CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF are needed")
	case err != nil:
		return -1, fmt.Errorf("load a BPF program: %w", err)
	}
	return fd, nil
}

// attach puts the program on the cgroup, in place of ours among those that are
// there; a cgroup has two of ours only if two launches by hand came at once,
// and then both do the same.
func attach(dir cgroup.Dir, program int, there programs) error {
	attr := attachAttr{target: uint32(dir.FD()), program: uint32(program), attachType: attachType, flags: flagAllowMulti}
	if len(there.ours) > 0 {
		attr.flags |= flagReplace
		attr.replaced = uint32(there.ours[0])
	}
	_, err := bpf(progAttach, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case errors.Is(err, unix.EPERM):
		return errors.New("the kernel refuses the BPF program on the cgroup: a program on it or above it allows no other, or CAP_NET_ADMIN is missing")
	case errors.Is(err, unix.EINVAL):
		return errors.New("the kernel refuses the BPF program on the cgroup: Linux 5.7 or later with CONFIG_CGROUP_BPF is needed")
	case err != nil:
		return fmt.Errorf("attach the BPF program: %w", err)
	}
	return nil
}

// clear takes all programs off the cgroup.
func clear(dir cgroup.Dir) error {
	there, err := attached(dir)
	if err != nil {
		return err
	}
	defer there.close()
	for _, program := range append(there.ours, there.others...) {
		if err := detach(dir, program); err != nil {
			return err
		}
	}
	return nil
}

func detach(dir cgroup.Dir, program int) error {
	attr := attachAttr{target: uint32(dir.FD()), program: uint32(program), attachType: attachType}
	if _, err := bpf(progDetach, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("detach a BPF program: %w", err)
	}
	return nil
}

type attachAttr struct {
	target, program, attachType, flags, replaced uint32
}

// programs are descriptors of the programs on a cgroup.
type programs struct{ ours, others []int }

func (p programs) close() {
	for _, fd := range append(p.ours, p.others...) {
		unix.Close(fd)
	}
}

// query lists the programs on the cgroup by their numbers; with queryEffective
// those on the cgroups above it as well.
func query(dir cgroup.Dir, flags uint32) ([]uint32, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	var ids [64]uint32 // BPF_CGROUP_MAX_PROGS of linux/bpf-cgroup.h
	pin.Pin(&ids)
	attr := struct {
		target, attachType, queryFlags, attachFlags uint32
		ids                                         uint64
		count                                       uint32
	}{
		target:     uint32(dir.FD()),
		attachType: attachType,
		queryFlags: flags,
		ids:        uint64(uintptr(unsafe.Pointer(&ids[0]))),
		count:      uint32(len(ids)),
	}
	_, err := bpf(progQuery, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case errors.Is(err, unix.ENOSYS):
		return nil, errors.New("this kernel has no bpf(2): CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF are needed")
	case errors.Is(err, unix.EPERM):
		return nil, errors.New("the kernel refuses bpf(2): CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, are needed")
	case errors.Is(err, unix.EINVAL):
		return nil, errors.New("this kernel has no BPF programs on cgroups: CONFIG_CGROUP_BPF is needed")
	case err != nil:
		return nil, fmt.Errorf("list the BPF programs of the cgroup: %w", err)
	}
	return slices.Clone(ids[:min(attr.count, uint32(len(ids)))]), nil
}

// attached opens the programs on the cgroup.
func attached(dir cgroup.Dir) (programs, error) {
	ids, err := query(dir, 0)
	if err != nil {
		return programs{}, err
	}
	var there programs
	for _, id := range ids {
		get := struct{ id, next, flags uint32 }{id: id}
		fd, err := bpf(progGetFdByID, unsafe.Pointer(&get), unsafe.Sizeof(get))
		switch {
		case errors.Is(err, unix.ENOENT): // gone since
		case err != nil:
			there.close()
			return programs{}, fmt.Errorf("look at a BPF program of the cgroup: %w", err)
		case isOurs(fd):
			there.ours = append(there.ours, fd)
		default:
			there.others = append(there.others, fd)
		}
	}
	return there, nil
}

// isOurs knows our own programs by their name.
func isOurs(program int) bool {
	// struct bpf_prog_info of linux/bpf.h: the name is at offset 64.
	const nameOffset = 64
	info, err := programInfo(program)
	return err == nil && unix.ByteSliceToString(info[nameOffset:nameOffset+16]) == programName
}

// idOf is the number that the kernel gave to the program.
func idOf(program int) (uint32, error) {
	const idOffset = 4 // in struct bpf_prog_info
	info, err := programInfo(program)
	if err != nil {
		return 0, fmt.Errorf("look at the BPF program: %w", err)
	}
	return binary.NativeEndian.Uint32(info[idOffset:]), nil
}

// programInfo is the head of the program's struct bpf_prog_info of linux/bpf.h.
func programInfo(program int) ([]byte, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	var info [128]byte
	pin.Pin(&info)
	attr := struct {
		fd, size uint32
		info     uint64
	}{uint32(program), uint32(len(info)), uint64(uintptr(unsafe.Pointer(&info[0])))}
	_, err := bpf(objGetInfo, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return info[:], err
}
