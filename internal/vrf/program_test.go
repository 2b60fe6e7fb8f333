package vrf

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"unsafe"
)

// The program as it lies in memory, written down by hand after struct bpf_insn
// of linux/bpf.h: opcode, registers, offset, constant. The registers are bit
// fields, which begin at the low bits of a byte on a little-endian machine and
// at the high ones on a big-endian one, and offset and constant are numbers of
// the machine.
const (
	littleEndian = `
		bf 16 0000 00000000
		85 00 0000 7a000000
		18 01 0000 88776655
		00 00 0000 44332211
		5d 10 0a00 00000000
		61 61 0c00 00000000
		25 01 0600 ff000000
		61 61 0000 00000000
		55 01 0200 00000000
		b7 02 0000 04030201
		63 26 0000 00000000
		b7 00 0000 01000000
		95 00 0000 00000000
		b7 00 0000 00000000
		95 00 0000 00000000
		b7 00 0000 01000000
		95 00 0000 00000000`
	bigEndian = `
		bf 61 0000 00000000
		85 00 0000 0000007a
		18 10 0000 55667788
		00 00 0000 11223344
		5d 01 000a 00000000
		61 16 000c 00000000
		25 10 0006 000000ff
		61 16 0000 00000000
		55 10 0002 00000000
		b7 20 0000 01020304
		63 62 0000 00000000
		b7 00 0000 00000001
		95 00 0000 00000000
		b7 00 0000 00000000
		95 00 0000 00000000
		b7 00 0000 00000001
		95 00 0000 00000000`
)

// (tests/arches runs this on a big-endian processor too.)
func TestInstructionsInMemory(t *testing.T) {
	want := littleEndian
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		want = bigEndian
	}
	confinement := Confinement{Cookie: 0x1122334455667788, Device: Device{"mgmt", 0x01020304}}
	program := confinement.program()
	var got strings.Builder
	for i := range program {
		in := hex.EncodeToString((*[unsafe.Sizeof(program[i])]byte)(unsafe.Pointer(&program[i]))[:])
		got.WriteString("\n\t\t" + in[:2] + " " + in[2:4] + " " + in[4:8] + " " + in[8:])
	}
	if got.String() != want {
		t.Errorf("%s\nwant%s", got.String(), want)
	}
	if c, err := recognize(program); err != nil || c.Cookie != confinement.Cookie || c.Device.Index != confinement.Device.Index || c.Lock {
		t.Errorf("read back: %+v, %v", c, err)
	}
}

// The kernel takes a 32-bit constant for one with a sign.
func TestLastProtocolIsNoNegativeNumber(t *testing.T) {
	confinement := Confinement{Cookie: math.MaxUint64, Lock: true}
	for _, in := range confinement.program() {
		if in.code == jumpGtK && in.immediate < 0 {
			t.Errorf("compares with %d", in.immediate)
		}
	}
	if c, err := recognize(confinement.program()); err != nil || *c != confinement {
		t.Errorf("read back: %+v, %v", c, err)
	}
}
