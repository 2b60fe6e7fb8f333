package audit

import (
	"bytes"
	"fmt"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
	"openrc-netns/internal/publish"
)

// Published lists what the host can reach in network namespaces, by their inodes
// and the command lines of the daemons that run in them. It takes root: these
// daemons hide from everybody else.
func Published() map[uint64][]publish.Entry {
	services, _ := openrc.Services()
	entries := map[uint64][]publish.Entry{}
	for _, service := range services {
		if !strings.HasPrefix(service, publish.ServicePrefix) {
			continue
		}
		pid := openrc.ReadDaemons(service).Child
		if pid == 0 {
			continue
		}
		inode, err := inodeOf(procPath(pid))
		if err != nil {
			continue
		}
		cmdline, err := files.Patiently(pid, func() ([]byte, error) { return files.Read(fmt.Sprintf("/proc/%d/cmdline", pid)) })
		if err != nil {
			continue
		}
		var words []string
		for word := range bytes.SplitSeq(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0}) {
			words = append(words, string(word))
		}
		entries[inode] = append(entries[inode], operands(words)...)
	}
	return entries
}

// operands are the entries of a command line of netns-publish(8), behind its
// options and the name of the namespace.
func operands(words []string) []publish.Entry {
	set := option.Set{IgnoreUnknown: true}
	rest, _, err := set.Parse(words[1:])
	if err != nil || len(rest) == 0 {
		return nil
	}
	entries, _ := publish.ParseWords(rest[1:])
	return entries
}
