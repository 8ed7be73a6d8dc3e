// Work is a program for the tests: it uses a known amount of one resource, so that what is shown of it can be checked.
//
//	work -spin                          keeps one core busy
//	work -hold 64                       touches 64 MiB of memory and keeps them
//	work -write 32 -to PATH             writes 32 MiB to a file or block device, down to the medium
//	work -send 1000000 -address H:P     sends 1,000,000 bytes of payload by UDP, in datagrams of 1,000 bytes
//	work -stumble PATH                  fails the first time: when there is no such file, which it then makes
//	work -check                         does nothing and succeeds, as a health check does
//
// They can be combined. Once all that has an end is done, it prints `done`. It then goes on until it is ended, unless
// there is -quit.
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
	hold := flag.Int("hold", 0, "how many MiB of memory to touch and keep")
	write := flag.Int("write", 0, "how many MiB to write to -to")
	to := flag.String("to", "", "a file, which is made anew, or a block device")
	send := flag.Int("send", 0, "how many bytes to send to -address")
	address := flag.String("address", "", "a UDP address")
	stumble := flag.String("stumble", "", "fail if there is no such file, and make it")
	check := flag.Bool("check", false, "succeed at once")
	quit := flag.Bool("quit", false, "end when all is done")
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
		// Not `select {}`, which Go takes for a deadlock. Ends at every signal, and Go's runtime sends itself some.
		syscall.Pause()
	}
	runtime.KeepAlive(held)
}

// stumbleOn fails if it has to make the file.
func stumbleOn(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return errors.Join(errors.New("this is the first time"), os.WriteFile(path, nil, 0o600))
}

// touch gives memory that the kernel has really given: straight from it, so that Go's collector adds nothing to it.
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

// writeTo writes so many MiB. Each is on the medium before the next begins, so that it is this process that the kernel
// sees write them, and not a worker of its own long afterwards. To a block device it writes directly, for of what goes
// there through the page cache the kernel does not always know whose it is.
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
	// Whole pages, as a device wants them.
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

// sendTo sends so many bytes, the last datagram being as short as it must.
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
