// Package procfs reads files of proc(5).
package procfs

import "golang.org/x/sys/unix"

// ReadFile is os.ReadFile without the Go runtime's poller: starting that costs
// a launch a thread and four system calls, and a file of /proc never blocks.
// Any thread may call it.
func ReadFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	content := make([]byte, 0, 16384)
	for {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		n, err := unix.Read(fd, content[len(content):cap(content)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return content, err
		}
		content = content[:len(content)+n]
	}
}
