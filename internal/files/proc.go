package files

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// Proc is the directory of proc(5) in which a process, of which it has the number,
// is to be seen: its own or, where its first thread has ended, that of a thread
// that lives. Any thread may call it.
func Proc(pid int) string {
	own := "/proc/" + strconv.Itoa(pid)
	if lives(own) {
		return own
	}
	tasks, _ := ReadDir(own + "/task")
	for _, task := range tasks {
		if dir := "/proc/" + task.Name(); lives(dir) {
			return dir
		}
	}
	return own
}

func lives(dir string) bool {
	_, err := os.Readlink(dir + "/ns/net")
	return !errors.Is(err, fs.ErrNotExist)
}
