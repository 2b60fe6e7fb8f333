package torture

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"runtime"
)

// The command that is launched copies its input to its output, as cat(1) does:
// a byte that waits for it comes back once it runs, then it waits to be looked
// at and killed. cat itself would do, and does where this has no machine code,
// but its start costs more than all the rest of a launch.

// writeProbe writes the command, and returns its path.
func writeProbe(path string) (string, error) {
	code, found := map[string][]byte{"amd64": {
		0x31, 0xc0, // again: xor eax, eax (read)
		0x31, 0xff, // xor edi, edi (standard input)
		0x48, 0x89, 0xe6, // mov rsi, rsp
		0xba, 1, 0, 0, 0, // mov edx, 1
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x7e, 0x0e, // jle end
		0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
		0xbf, 1, 0, 0, 0, // mov edi, 1 (standard output)
		0x0f, 0x05, // syscall
		0xeb, 0xe0, // jmp again
		0xb8, 60, 0, 0, 0, // end: mov eax, 60 (exit)
		0x31, 0xff, // xor edi, edi
		0x0f, 0x05, // syscall
	}}[runtime.GOARCH]
	if !found {
		return "/bin/cat", nil
	}
	// The two headers of elf(5), and the code right after them.
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	var file bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
			Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
			Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x1000,
		},
		code,
	} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			return "", err
		}
	}
	return path, os.WriteFile(path, file.Bytes(), 0o755)
}
