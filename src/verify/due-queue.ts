/** A binary min-heap of items by due time; an item whose time changed is pushed again and the old entry skipped by the taker. */
export class DueQueue<Item> {
  private readonly heap: { dueMs: number; item: Item }[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** Due time of the earliest entry; null when empty. */
  nextDueMs(): number | null {
    return this.heap[0]?.dueMs ?? null;
  }

  push(item: Item, dueMs: number): void {
    const heap = this.heap;
    heap.push({ dueMs, item });
    let index = heap.length - 1;
    const entry = heap[index]!;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.dueMs <= dueMs) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Removes and returns the earliest entry if it is due. */
  takeDue(nowMs: number): { item: Item; dueMs: number } | null {
    const heap = this.heap;
    const top = heap[0];
    if (top === undefined || top.dueMs > nowMs) return null;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let index = 0;
      for (;;) {
        let child = 2 * index + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++;
        if (heap[child]!.dueMs >= last.dueMs) break;
        heap[index] = heap[child]!;
        index = child;
      }
      heap[index] = last;
    }
    return top;
  }
}
