// Work uses known amounts of resources, so that tests can check the reported stats.
//
//	work -spin                          keeps one core busy
//	work -hold 64                       allocates and touches 64 MiB of memory
//	work -write 32 -to PATH             writes 32 MiB to a file or block device, and syncs them
//	work -send 1000000 -address H:P     sends 1,000,000 bytes of payload by UDP, in datagrams of 1,000 bytes
//	work -stumble PATH                  fails the first time: if there is no such file, which it creates
//	work -check                         does nothing and succeeds, as a health check does
//
// Options can be combined. It prints `done` after all work that ends, and then runs until it is stopped, unless there
// is -quit.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"syscall"
)

const (
	mebibyte = 1 << 20
	datagram = 1000
)

func main() {
	log.SetFlags(0)
	spin := flag.Bool("spin", false, "keep one core busy")
	hold := flag.Int("hold", 0, "MiB of memory to allocate and touch")
	write := flag.Int("write", 0, "MiB to write to -to")
	to := flag.String("to", "", "a file, which is made anew, or a block device")
	send := flag.Int("send", 0, "bytes to send to -address")
	address := flag.String("address", "", "a UDP address")
	stumble := flag.String("stumble", "", "fail if there is no such file, and create it")
	check := flag.Bool("check", false, "succeed at once")
	quit := flag.Bool("quit", false, "exit after the work")
	flag.Parse()
	if *check {
		return
	}

	if err := stumbleOn(*stumble); err != nil {
		log.Fatal(err)
	}
	held := touch(*hold * mebibyte)
	if err := errors.Join(writeTo(*to, *write), sendTo(*address, *send)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("done")
	for *spin {
	}
	for !*quit {
		// Not `select {}`, which Go reports as a deadlock. pause(2) returns at every signal, and Go's runtime sends
		// some to itself.
		syscall.Pause()
	}
	runtime.KeepAlive(held)
}

// stumbleOn fails if it has to create the file.
func stumbleOn(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return errors.Join(errors.New("this is the first time"), os.WriteFile(path, nil, 0o600))
}

// touch returns memory that the kernel has assigned, without Go's heap, so that garbage collection adds nothing.
func touch(size int) []byte {
	if size == 0 {
		return nil
	}
	memory, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		log.Fatal(err)
	}
	for at := 0; at < size; at += os.Getpagesize() {
		memory[at] = 1
	}
	return memory
}

// writeTo writes this many MiB and syncs each before the next, so that the kernel counts them for this process and not
// for a worker of its own. Writes to a block device are direct, because the kernel does not always know the origin of
// pages in the cache.
func writeTo(path string, mebibytes int) error {
	if mebibytes == 0 {
		return nil
	}
	flags := os.O_WRONLY | os.O_CREATE
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeDevice != 0 {
		flags |= syscall.O_DIRECT
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	// Direct writes need whole pages.
	chunk, err := syscall.Mmap(-1, 0, mebibyte, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for index := range chunk {
		chunk[index] = 1
	}
	for range make([]struct{}, mebibytes) {
		if _, err := file.Write(chunk); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// sendTo sends this many bytes. The last datagram has the rest.
func sendTo(address string, size int) error {
	if size == 0 {
		return nil
	}
	connection, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	for payload := make([]byte, datagram); size > 0; size -= len(payload) {
		payload = payload[:min(size, datagram)]
		if _, err := connection.Write(payload); err != nil {
			return err
		}
	}
	return nil
}
