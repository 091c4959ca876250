; The embedded guest: a multiboot kernel that writes linked records to two IDE disks, and checks them.
;
; Record n of the first disk names record n - 1 of the second, record n of the second names record n of the first; each is
; on its disk before the next is begun (the format: linked-records.ts). So what the disks hold at one instant is the same
; number of records, or one more on the first.
;
; The serial port is its console: `help` tells what it understands. It goes on where the disks end when it is started again.
; With nothing to do it halts; everything else is done by polling, with interrupts off.
;
; `text NAME "…"` is data; `&NAME` its address. What follows a `;` is a comment. Addresses of variables are fixed.

text banner "\r\nblockyard guest: linked records on two disks; 'help' tells more\r\n"
text prompt "> "
text line_end "\r\n"
text help_text "start      write records\r\nstop       write none\r\nrate N     N records on each disk per second; 0: as many as go\r\nstatus     what was written\r\nverify     read all records and check them\r\nclear      remove all records\r\nload K S N N requests of S sectors each to the first disk, which has no records: K is\r\n           r or w, R or W at random places; what is written destroys what was there\r\n"
text unknown "unknown command; 'help' tells more\r\n"
text found "found "
text records_on_a " records on the first disk, "
text records_on_b " on the second\r\n"
text written " records on each disk, "
text per_second " per second, "
text is_running "running\r\n"
text is_stopped "stopped\r\n"
text is_full "the disks are full; 'clear' makes room\r\n"
text no_disks "there are no two disks\r\n"
text apart "the disks do not belong together; 'clear' makes them\r\n"
text is_loaded "done\r\n"
text not_for_records "the disks have records; 'stop' and 'clear' make room\r\n"
text name_load "load "
text foreign "there is something else on the disks; nothing is written\r\n"
text verified "verified "
text no_mistake " records on each disk, no mistake\r\n"
text mistake_first "MISTAKE in slot "
text mistake_of " of disk "
text failed_write "FAILED to write slot "
text cleared "cleared\r\n"
text screen_title "blockyard guest"
text screen_records "records on each disk: "
text screen_rate "   per second: "
text screen_pad "            "
text name_help "help"
text name_start "start"
text name_stop "stop"
text name_status "status"
text name_verify "verify"
text name_clear "clear"
text name_rate "rate "

GDT = 0x170000
GDT_POINTER = 0x170100
IDT_POINTER = 0x170108
IDT = 0x170800
TIMER_GATE = 0x170900
DISK_GATE = 0x170970

TICKS = 0x171000        ; hundredths of a second
CREDIT = 0x171004       ; records that the rate allows at once
SHARE = 0x171008        ; hundredths of a record
RATE = 0x17100c
RUNNING = 0x171010
NEXT = 0x171014         ; number of the next record
SLOTS = 0x171018        ; that the smaller disk has
LENGTH = 0x17101c       ; of the line so far
SECOND = 0x171020       ; ticks when the last second ended
BEFORE = 0x171024       ; records then
SPEED = 0x171028        ; records of the last second
OUT = 0x17102c          ; where characters go: 0 the serial port, else the address of a cell of the screen
FOUND_A = 0x171030
FOUND_B = 0x171034
DISK = 0x171038         ; 0 or 1
NUMBER = 0x17103c
NAMES = 0x171040
LOOK_END = 0x171044     ; slot where looking for other data ends
SECTORS = 0x171048      ; of a request
COMMAND = 0x17104c
LEFT = 0x171050         ; of a load: requests
IN_ORDER = 0x171054
PLACES = 0x171058
PLACE = 0x17105c
SEED = 0x171060
ROOM = 0x171064         ; slots for records
LINE = 0x172000
LOOK_SLOTS = 256        ; how far it looks: every usual file system and partition table shows by then
MOST_LETTERS = 60
MOST_ROOM = 131072       ; what lies behind is none of the records' business
SECTOR = 0x173000       ; what was read
RECORD = 0x174000       ; what is to be written, or was expected
AREA = 0x175000         ; of the memory that DMA takes: one
LOAD = 0x200000         ; the data of a load
MOST_SECTORS = 128
BUS_MASTER = 0xb400     ; where v86 has the first channel's
BUS_MASTER_STATUS = 0xb402
BUS_MASTER_TABLE = 0xb404
STACK = 0x190000

  cli
  cld
  mov esp, STACK
  ; Variables are zero at first.
  mov edi, GDT
  mov ecx, 0x2000
  mov eax, 0
  rep stosd
  ; Flat segments of our own: a gate names one.
  mov dword ptr [0x170008], 0x0000ffff
  mov dword ptr [0x17000c], 0x00cf9a00
  mov dword ptr [0x170010], 0x0000ffff
  mov dword ptr [0x170014], 0x00cf9200
  mov dword ptr [GDT_POINTER], 0x00000017
  mov dword ptr [0x170102], GDT_ADDRESS
  lgdt [GDT_POINTER]
  push 8
  call far_return
  mov eax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  call install_timer
; The handler: what install_timer finds as its return address.
  push eax
  inc dword ptr [TICKS]
  mov eax, [RATE]
  add [SHARE], eax
  mov al, 0x20
  out 0x20, al
  pop eax
  iret

far_return:
  lret

install_timer:
  pop eax
  mov ebx, TIMER_GATE
  call install_gate
  call install_disk
; The handler: a disk that is done is seen by its status.
  push eax
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  pop eax
  iret

; The gate at ebx leads to eax.
install_gate:
  mov ecx, eax
  and ecx, 0xffff
  or ecx, 0x00080000
  mov [ebx], ecx
  and eax, 0xffff0000
  or eax, 0x8e00
  mov [ebx + 4], eax
  ret

install_disk:
  pop eax
  mov ebx, DISK_GATE
  call install_gate
  mov dword ptr [IDT_POINTER], 0x00000177
  mov dword ptr [0x17010a], IDT_ADDRESS
  lidt [IDT_POINTER]
  ; Interrupt requests from 0x20 on, and only those of the timer and the disks.
  mov al, 0x11
  out 0x20, al
  out 0xa0, al
  mov al, 0x20
  out 0x21, al
  mov al, 0x28
  out 0xa1, al
  mov al, 4
  out 0x21, al
  mov al, 2
  out 0xa1, al
  mov al, 1
  out 0x21, al
  out 0xa1, al
  mov al, 0xfa
  out 0x21, al
  mov al, 0xbf
  out 0xa1, al
  mov edx, 0x3f6
  mov al, 0
  out dx, al
  ; A hundred times per second.
  mov al, 0x34
  out 0x43, al
  mov al, 0x9c
  out 0x40, al
  mov al, 0x2e
  out 0x40, al

  call install_screen
  mov esi, &banner
  call print
  mov dword ptr [RATE], 100
  mov dword ptr [SECTORS], 1
  call measure
  cmp dword ptr [SLOTS], 0
  jne disks_are_there
  mov esi, &no_disks
  call print
  jmp ready
disks_are_there:
  call find_end
  mov dword ptr [RUNNING], 1
  call check_ends
ready:
  mov eax, [NEXT]
  mov [BEFORE], eax
  call prompt_now

; What it does all the time.
main:
  call take_input
  call once_a_second
  cmp dword ptr [RUNNING], 0
  je rest
  mov eax, [NEXT]
  cmp eax, [ROOM]
  ja full
  cmp dword ptr [RATE], 0
  je write_now
  cmp dword ptr [SHARE], 100
  jb rest
  sub dword ptr [SHARE], 100
  ; After a pause it does not catch up.
  mov eax, [RATE]
  cmp [SHARE], eax
  jbe write_now
  mov [SHARE], eax
write_now:
  call write_both
  ; Pending interrupts get their turn.
  sti
  nop
  cli
  jmp main
full:
  mov dword ptr [RUNNING], 0
  mov esi, &is_full
  call print
  jmp main
rest:
  sti
  hlt
  cli
  jmp main

; Records.

write_both:
  mov eax, [NEXT]
  mov [NUMBER], eax
  dec eax
  mov [NAMES], eax
  mov dword ptr [DISK], 0
  call write_record
  call write_second
  ret

; The second half of a pair.
write_second:
  mov eax, [NEXT]
  mov [NUMBER], eax
  mov [NAMES], eax
  mov dword ptr [DISK], 1
  call write_record
  inc dword ptr [NEXT]
  ret

write_record:
  call make_record
  mov ebx, [NUMBER]
  dec ebx
  mov esi, RECORD
  call write_sector
  ret

; What DISK, NUMBER and NAMES say, at RECORD.
make_record:
  mov edi, RECORD
  movzx eax, byte ptr [NUMBER]
  imul eax, eax, 0x01010101
  mov ecx, 128
  rep stosd
  mov dword ptr [0x174000], 0x494c5942
  mov dword ptr [0x174004], 0x44454b4e
  mov eax, [DISK]
  inc eax
  imul edx, eax, 0x9e3779b1
  dec eax
  bswap eax
  mov [0x174008], eax
  mov eax, [NUMBER]
  imul ecx, eax, 0x85ebca6b
  xor edx, ecx
  bswap eax
  mov [0x17400c], eax
  mov eax, [NAMES]
  imul ecx, eax, 0xc2b2ae35
  xor edx, ecx
  bswap eax
  mov [0x174010], eax
  bswap edx
  mov [0x174014], edx
  ret

; Slots of the smaller disk, and how many of them are for records.
measure:
  mov dword ptr [DISK], 0
  call identify
  mov [SLOTS], eax
  mov dword ptr [DISK], 1
  call identify
  cmp eax, [SLOTS]
  jae measured
  mov [SLOTS], eax
measured:
  mov eax, [SLOTS]
  cmp eax, MOST_ROOM
  jbe has_room
  mov eax, MOST_ROOM
has_room:
  mov [ROOM], eax
  ret

; Records are there up to the first slot that has none.
find_end:
  mov dword ptr [DISK], 0
  call count_records
  mov [FOUND_A], eax
  mov dword ptr [DISK], 1
  call count_records
  mov [FOUND_B], eax
  inc eax
  mov [NEXT], eax
  mov esi, &found
  call print
  mov eax, [FOUND_A]
  call print_number
  mov esi, &records_on_a
  call print
  mov eax, [FOUND_B]
  call print_number
  mov esi, &records_on_b
  call print
  ret

; Completes a pair that was begun. Disks that cannot have been written together, or hold anything else, are left alone.
check_ends:
  mov dword ptr [DISK], 0
  mov ebp, [FOUND_A]
  call look_behind
  jne is_foreign
  mov dword ptr [DISK], 1
  mov ebp, [FOUND_B]
  call look_behind
  jne is_foreign
  mov eax, [FOUND_A]
  sub eax, [FOUND_B]
  je ends_are_right
  cmp eax, 1
  jne ends_are_wrong
  call write_second
ends_are_right:
  ret
ends_are_wrong:
  mov dword ptr [RUNNING], 0
  mov esi, &apart
  call print
  ret
is_foreign:
  mov dword ptr [RUNNING], 0
  mov esi, &foreign
  call print
  ret

; Whether the slots of DISK from ebp on are empty, as far as it looks: `e`.
look_behind:
  mov eax, ebp
  add eax, LOOK_SLOTS
  mov [LOOK_END], eax
look_next:
  cmp ebp, [ROOM]
  jae looks_empty
  cmp ebp, [LOOK_END]
  jae looks_empty
  mov ebx, ebp
  call read_sector
  mov edi, SECTOR
  mov ecx, 128
  mov eax, 0
  repe scasd
  je looks_right
  ; A record after a gap is one of its own, left by a write that a crash outran.
  cmp dword ptr [SECTOR], 0x494c5942
  jne looked
looks_right:
  inc ebp
  jmp look_next
looks_empty:
  cmp eax, eax
looked:
  ret

; How many slots of DISK have records, by halving: eax. ebp: slots known to have one, edi: the first known to have none.
count_records:
  mov ebp, 0
  mov edi, [ROOM]
halve:
  cmp ebp, edi
  jae counted
  mov ebx, ebp
  add ebx, edi
  shr ebx, 1
  push edi
  push ebx
  call read_sector
  pop ebx
  pop edi
  cmp dword ptr [SECTOR], 0x494c5942
  jne has_none
  lea ebp, [ebx + 1]
  jmp halve
has_none:
  mov edi, ebx
  jmp halve
counted:
  mov eax, ebp
  ret

; Reads every record and compares it with what it must be.
verify:
  mov dword ptr [DISK], 0
verify_disk:
  mov dword ptr [NUMBER], 1
verify_next:
  mov ebx, [NUMBER]
  cmp ebx, [NEXT]
  jae verify_done
  mov eax, ebx
  dec eax
  add eax, [DISK]
  mov [NAMES], eax
  dec ebx
  call read_sector
  call make_record
  mov esi, SECTOR
  mov edi, RECORD
  mov ecx, 128
  repe cmpsd
  jne mistake
  inc dword ptr [NUMBER]
  sti
  nop
  cli
  jmp verify_next
verify_done:
  inc dword ptr [DISK]
  cmp dword ptr [DISK], 2
  jb verify_disk
  mov esi, &verified
  call print
  mov eax, [NEXT]
  dec eax
  call print_number
  mov esi, &no_mistake
  call print
  ret
mistake:
  mov esi, &mistake_first
  call print
  call print_place
  ret

; SLOT of disk DISK
print_place:
  mov eax, [NUMBER]
  dec eax
  call print_number
  mov esi, &mistake_of
  call print
  mov eax, [DISK]
  call print_number
  mov esi, &line_end
  call print
  ret

; Zeros all slots that have records, the last first: what is left is a shorter log.
clear:
  call find_end
  mov edi, RECORD
  mov ecx, 128
  mov eax, 0
  rep stosd
  mov dword ptr [DISK], 1
  mov ebp, [FOUND_B]
  call clear_disk
  mov dword ptr [DISK], 0
  mov ebp, [FOUND_A]
  call clear_disk
  mov dword ptr [NEXT], 1
  mov dword ptr [BEFORE], 1
  mov esi, &cleared
  call print
  ret

clear_disk:
  cmp ebp, 0
  je disk_is_clear
  dec ebp
  mov ebx, ebp
  mov esi, RECORD
  call write_sector
  jmp clear_disk
disk_is_clear:
  ret

; No BIOS has set the screen up: text at 0xb8000, and grey for the colour of it.
install_screen:
  mov edx, 0x3ce
  mov al, 6
  out dx, al
  inc edx
  mov al, 0x0e
  out dx, al
  mov edx, 0x3da
  in al, dx
  mov edx, 0x3c0
  mov al, 7
  out dx, al
  out dx, al
  mov al, 0x20
  out dx, al
  mov edx, 0x3c8
  mov al, 7
  out dx, al
  inc edx
  mov al, 0x2a
  out dx, al
  out dx, al
  out dx, al
  ret

; The console.

prompt_now:
  mov esi, &prompt
  call print
  ret

take_input:
  mov edx, 0x3fd
  in al, dx
  test al, 1
  jz no_input
  mov edx, 0x3f8
  in al, dx
  cmp al, 13
  je line_is_whole
  cmp al, 10
  je line_is_whole
  cmp al, 8
  je letter_back
  cmp al, 127
  je letter_back
  mov ecx, [LENGTH]
  cmp ecx, MOST_LETTERS
  jae take_input
  mov [LINE + ecx], al
  inc dword ptr [LENGTH]
  call put
  jmp take_input
letter_back:
  cmp dword ptr [LENGTH], 0
  je take_input
  dec dword ptr [LENGTH]
  mov al, 8
  call put
  mov al, 32
  call put
  mov al, 8
  call put
  jmp take_input
line_is_whole:
  mov ecx, [LENGTH]
  mov byte ptr [LINE + ecx], 0
  mov dword ptr [LENGTH], 0
  mov esi, &line_end
  call print
  cmp ecx, 0
  je answered
  call obey
answered:
  call prompt_now
  jmp take_input
no_input:
  ret

obey:
  mov esi, &name_help
  call is_line
  je do_help
  mov esi, &name_start
  call is_line
  je do_start
  mov esi, &name_stop
  call is_line
  je do_stop
  mov esi, &name_status
  call is_line
  je do_status
  cmp dword ptr [SLOTS], 0
  je do_nothing
  mov esi, &name_verify
  call is_line
  je verify
  mov esi, &name_clear
  call is_line
  je clear
  mov esi, &name_rate
  mov ecx, 5
  call begins_line
  je do_rate
  mov esi, &name_load
  mov ecx, 5
  call begins_line
  je do_load
do_nothing:
  mov esi, &unknown
  call print
  ret

do_help:
  mov esi, &help_text
  call print
  ret

do_start:
  cmp dword ptr [SLOTS], 0
  je do_nothing
  call find_end
  mov dword ptr [RUNNING], 1
  call check_ends
  ret

do_stop:
  mov dword ptr [RUNNING], 0
  jmp do_status

do_status:
  mov eax, [NEXT]
  cmp eax, 0
  je status_of_none
  dec eax
status_of_none:
  call print_number
  mov esi, &written
  call print
  mov eax, [SPEED]
  call print_number
  mov esi, &per_second
  call print
  mov esi, &is_running
  cmp dword ptr [RUNNING], 0
  jne print
  mov esi, &is_stopped
  jmp print

; Digits behind `rate `.
; Reads digits at esi, and moves it past them: ebx. Of a number that is too large some are left.
take_number:
  mov ebx, 0
take_digit:
  movzx eax, byte ptr [esi]
  sub eax, 48
  cmp eax, 9
  ja number_is_read
  cmp ebx, 100000
  ja number_is_read
  imul ebx, ebx, 10
  add ebx, eax
  inc esi
  jmp take_digit
number_is_read:
  ret

do_rate:
  mov esi, 0x172005
  call take_number
  cmp byte ptr [esi], 0
  jne do_nothing
  mov [RATE], ebx
  mov dword ptr [SHARE], 0
  jmp do_status

; One request after the other, as fast as they go: of the line, how to choose the place, how many sectors, how many requests.
do_load:
  cmp dword ptr [RUNNING], 0
  jne has_records
  cmp dword ptr [NEXT], 1
  jne has_records
  mov esi, 0x172007
  call take_number
  mov ecx, ebx
  dec ebx
  cmp ebx, MOST_SECTORS
  jae do_nothing
  cmp byte ptr [esi], 32
  jne do_nothing
  inc esi
  call take_number
  cmp byte ptr [esi], 0
  jne do_nothing
  mov [LEFT], ebx
  mov al, [0x172005]
  mov bl, 0xc8
  cmp al, 114
  je load_kind_is_known
  cmp al, 82
  je load_kind_is_known
  mov bl, 0xca
  cmp al, 119
  je load_kind_is_known
  cmp al, 87
  jne do_nothing
load_kind_is_known:
  mov [COMMAND], bl
  and eax, 32
  mov [IN_ORDER], eax
  mov [SECTORS], ecx
  mov eax, [SLOTS]
  mov edx, 0
  div ecx
  mov [PLACES], eax
  mov dword ptr [PLACE], 0
  mov dword ptr [SEED], 1
  mov dword ptr [DISK], 0
  mov edi, LOAD
  mov ecx, 0x4000
  mov eax, 0xa5a5a5a5
  rep stosd
load_next:
  cmp dword ptr [LEFT], 0
  je loaded
  dec dword ptr [LEFT]
  mov ebx, [PLACE]
  inc dword ptr [PLACE]
  mov eax, [PLACE]
  cmp eax, [PLACES]
  jb place_is_next
  mov dword ptr [PLACE], 0
place_is_next:
  cmp dword ptr [IN_ORDER], 0
  jne place_is_chosen
  imul eax, dword ptr [SEED], 1664525
  add eax, 1013904223
  mov [SEED], eax
  mul dword ptr [PLACES]
  mov ebx, edx
place_is_chosen:
  imul ebx, dword ptr [SECTORS]
  mov esi, LOAD
  call transfer
  jmp load_next
loaded:
  mov dword ptr [SECTORS], 1
  mov esi, &is_loaded
  call print
  ret
has_records:
  mov esi, &not_for_records
  call print
  ret

; Whether LINE is the text at esi: `e`.
is_line:
  mov edi, LINE
is_letter:
  mov al, [esi]
  cmp al, [edi]
  jne is_other
  inc esi
  inc edi
  cmp al, 0
  jne is_letter
is_other:
  ret

; Whether LINE begins with ecx letters of esi: `e`.
begins_line:
  mov edi, LINE
  repe cmpsb
  ret

print:
  mov al, [esi]
  inc esi
  cmp al, 0
  je printed
  call put
  jmp print
printed:
  ret

print_number:
  mov ecx, 10
  mov ebx, 0
next_digit:
  mov edx, 0
  div ecx
  add edx, 48
  push edx
  inc ebx
  cmp eax, 0
  jne next_digit
put_digit:
  pop eax
  call put
  dec ebx
  jnz put_digit
  ret

; The character al. Keeps everything but eax.
put:
  push edx
  cmp dword ptr [OUT], 0
  jne put_on_screen
  mov ah, al
  mov edx, 0x3fd
wait_for_port:
  in al, dx
  test al, 0x20
  jz wait_for_port
  mov al, ah
  mov edx, 0x3f8
  out dx, al
  pop edx
  ret
put_on_screen:
  mov edx, [OUT]
  mov ah, 7
  mov [edx], ax
  add dword ptr [OUT], 2
  pop edx
  ret

once_a_second:
  mov eax, [TICKS]
  sub eax, [SECOND]
  cmp eax, 100
  jb not_yet
  add [SECOND], eax
  mov eax, [NEXT]
  mov ecx, eax
  sub eax, [BEFORE]
  mov [SPEED], eax
  mov [BEFORE], ecx
  mov dword ptr [OUT], 0xb8000
  mov esi, &screen_title
  call print
  mov dword ptr [OUT], 0xb8140
  mov esi, &screen_records
  call print
  mov eax, [NEXT]
  cmp eax, 0
  je screen_has_none
  dec eax
screen_has_none:
  call print_number
  mov esi, &screen_rate
  call print
  mov eax, [SPEED]
  call print_number
  mov esi, &screen_pad
  call print
  mov dword ptr [OUT], 0
not_yet:
  ret

; Disks: DISK, sector ebx. Programmed I/O on the first channel.

; Sectors in eax; 0: there is no disk.
identify:
  mov ebx, 0
  call choose
  mov edx, 0x1f7
  mov al, 0xec
  out dx, al
  in al, dx
  cmp al, 0
  je is_absent
  cmp al, 0xff
  je is_absent
identify_busy:
  in al, dx
  test al, 0x80
  jnz identify_busy
  test al, 1
  jnz is_absent
  test al, 8
  jz identify_busy
  mov edi, SECTOR
  call take_words
  mov eax, [0x173078]
  ret
is_absent:
  mov eax, 0
  ret

; Into SECTOR.
read_sector:
  call choose
  mov edx, 0x1f7
  mov al, 0x20
  out dx, al
  call wait_for_data
  mov edi, SECTOR
take_words:
  mov ecx, 256
  mov edx, 0x1f0
  rep insw
  ret

; From esi.
write_sector:
  push ebx
  mov byte ptr [COMMAND], 0xca
  call transfer
  pop ebx
  test al, 1
  jz is_on_disk
  mov esi, &failed_write
  call print
  mov eax, ebx
  call print_number
  mov esi, &line_end
  call print
is_on_disk:
  ret

; COMMAND on SECTORS from ebx on, at esi, by DMA: only so is it told that a write is done when it is. The status: al.
transfer:
  call choose
  mov [AREA], esi
  mov eax, [SECTORS]
  shl eax, 9
  and eax, 0xffff
  or eax, 0x80000000
  mov [0x175004], eax
  mov edx, BUS_MASTER_TABLE
  mov eax, AREA_ADDRESS
  out dx, eax
  mov edx, BUS_MASTER_STATUS
  mov al, 6
  out dx, al
  mov edx, 0x1f7
  mov al, [COMMAND]
  out dx, al
  ; The direction as the drive sees it: a read writes to memory.
  mov cl, 1
  cmp al, 0xca
  je direction_is_set
  mov cl, 9
direction_is_set:
  mov edx, BUS_MASTER
  mov al, cl
  out dx, al
transferring:
  mov edx, BUS_MASTER_STATUS
  in al, dx
  test al, 4
  jnz transferred
  sti
  hlt
  cli
  jmp transferring
transferred:
  mov edx, BUS_MASTER
  mov al, 0
  out dx, al
  mov edx, 0x1f7
  in al, dx
  ret

; Tells the controller which disk, which sector, and how many.
choose:
  mov edx, 0x1f6
  mov eax, [DISK]
  shl eax, 4
  or eax, 0xe0
  mov ecx, ebx
  shr ecx, 24
  or eax, ecx
  out dx, al
  mov edx, 0x1f7
settling:
  in al, dx
  cmp al, 0xff
  je settled
  test al, 0x80
  jnz settling
settled:
  mov edx, 0x1f2
  mov al, [SECTORS]
  out dx, al
  mov edx, 0x1f3
  mov eax, ebx
  out dx, al
  shr eax, 8
  mov edx, 0x1f4
  out dx, al
  shr eax, 8
  mov edx, 0x1f5
  out dx, al
  ret

wait_for_data:
  in al, dx
  test al, 0x80
  jnz wait_for_data
  test al, 9
  jz wait_for_data
  ret
