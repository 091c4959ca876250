import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HeldPieces } from '../../host/copy/held-pieces.ts';
import { Piece } from '../../host/copy/piece.ts';

const cluster = 16;
const diskBytes = 10 * cluster;

/** Whole clusters, or units of 4 of one. */
const place = fc.oneof(
  fc.record({ first: fc.nat({ max: 9 }), count: fc.integer({ min: 1, max: 4 }), part: fc.constant(false) }),
  fc.record({ first: fc.nat({ max: 39 }), count: fc.integer({ min: 1, max: 3 }), part: fc.constant(true) }),
);

function pieceOf({ first, count, part }: { first: number; count: number; part: boolean }): Piece {
  const unit = part ? 4 : cluster;
  const offset = first * unit;
  const limit = part ? Math.ceil((offset + 1) / cluster) * cluster : diskBytes;
  return new Piece(offset, Math.min(count * unit, limit - offset), undefined, part);
}

it('pieces are found by place, as in a list', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('add' as const), place }),
    fc.record({ op: fc.constant('delete' as const), which: fc.nat() }),
    fc.record({ op: fc.constant('drop' as const), first: fc.nat({ max: 9 }), count: fc.nat({ max: 4 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat({ max: diskBytes - 1 }), (steps, offset) => {
      const held = new HeldPieces(cluster);
      let list: Piece[] = [];
      const gone: Piece[] = [];
      for (const one of steps) {
        if (one.op === 'add') {
          const piece = pieceOf(one.place);
          if (list.some((other) => other.offset < piece.end && piece.offset < other.end)) continue;
          piece.onGone = () => gone.push(piece);
          held.add(piece);
          list.push(piece);
        } else if (one.op === 'delete') {
          const piece = list[one.which % Math.max(1, list.length)];
          if (piece) held.delete(piece);
          list = list.filter((other) => other !== piece);
        } else {
          const [start, end] = [one.first * cluster, (one.first + one.count) * cluster];
          held.dropParts(start, end - start);
          list = list.filter(({ isPart, offset: at }) => !isPart || at < start || at >= end);
        }
      }
      expect(new Set(held.all())).toEqual(new Set(list));
      expect(gone.some((piece) => list.includes(piece))).toBe(false);
      const here = list.find((piece) => piece.offset <= offset && offset < piece.end);
      expect(held.at(offset)).toBe(here);
      const next = Math.min(
        diskBytes,
        ...list.filter((p) => p.end > offset).map((p) => Math.max(p.offset, offset)),
      );
      expect(held.gap(offset, diskBytes - offset)).toBe(next - offset);
      const start = offset - (offset % cluster);
      const partsFrom = list.filter((piece) => piece.isPart && piece.offset >= start);
      expect(new Set(held.parts(start, diskBytes - start))).toEqual(new Set(partsFrom));
      const firstPart = Math.min(
        diskBytes,
        ...partsFrom.map((piece) => piece.offset - (piece.offset % cluster)),
      );
      expect(held.bytesBeforeParts(start, diskBytes - start)).toBe(firstPart - start);
    }),
  );
});
