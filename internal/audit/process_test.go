package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Numbers that are given again while processes are read make circles of them.
func TestUntangle(t *testing.T) {
	processes := map[int]*process{}
	for pid, parent := range map[int]int{2: 1, 3: 2, 10: 30, 20: 10, 30: 20, 40: 10, 50: 50} {
		processes[pid] = &process{pid: pid, parent: parent}
	}
	untangle(processes)
	for pid, p := range processes {
		for steps := 0; p != nil; p = processes[p.parent] {
			if steps++; steps > len(processes) {
				t.Fatalf("%d is descended from itself", pid)
			}
		}
	}
	if processes[3].parent != 2 || processes[40].parent != 10 {
		t.Error("a parent was lost")
	}
}

// One that keeps waiting who reads of it is left out, and the others are not.
func TestReadEachWaitsForNobody(t *testing.T) {
	never := make(chan bool)
	processes, stuck := readEach([]int{1, 2, 3, 4, 5}, func(pid int) *process {
		if pid == 2 || pid == 4 {
			<-never
		}
		return &process{pid: pid}
	})
	var pids []int
	for _, pid := range []int{1, 2, 3, 4, 5} {
		if processes[pid] != nil {
			pids = append(pids, pid)
		}
	}
	if diff := cmp.Diff([]int{1, 3, 5}, pids); diff != "" || stuck != 2 {
		t.Errorf("%d stuck\n%s", stuck, diff)
	}
}
