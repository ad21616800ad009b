/** Slow facts of this window that no endpoint holds: the selected hosts, the plans made here, short notices. */
import { createSlice } from '@reduxjs/toolkit';
import type { PayloadAction } from '@reduxjs/toolkit';
import type { FleetPlan } from '../../bridge/model.ts';

export interface Notice {
  readonly id: number;
  readonly kind: 'ok' | 'problem';
  readonly text: string;
}

/** What was planned, so that review and apply speak of the same document. */
export interface PlannedChange {
  readonly plan: FleetPlan;
  readonly policy: string;
  readonly hostIds: readonly string[];
}

export interface WindowState {
  readonly selectedHosts: readonly string[];
  readonly plans: readonly PlannedChange[];
  readonly notices: readonly Notice[];
  readonly noticeCount: number;
}

/** Older plans and notices are dropped. */
const plansMax = 8;
const noticesMax = 3;

const initialState: WindowState = { selectedHosts: [], plans: [], notices: [], noticeCount: 0 };

export const windowSlice = createSlice({
  name: 'window',
  initialState,
  reducers: {
    hostsSelected: (state, action: PayloadAction<readonly string[]>) => ({ ...state, selectedHosts: action.payload }),
    // Plain spreads: a plan may list thousands of lines, which Immer would draft one by one.
    planMade: (state, action: PayloadAction<PlannedChange>) => ({
      ...(state as WindowState),
      plans: [...(state as WindowState).plans.slice(1 - plansMax), action.payload],
    }),
    noticeRaised: (state, action: PayloadAction<Omit<Notice, 'id'>>) => {
      const id = state.noticeCount + 1;
      return { ...state, noticeCount: id, notices: [...state.notices.slice(1 - noticesMax), { id, ...action.payload }] };
    },
    noticeClosed: (state, action: PayloadAction<number>) => ({
      ...state,
      notices: state.notices.filter((notice) => notice.id !== action.payload),
    }),
    windowCleared: () => initialState,
  },
});

export const { hostsSelected, planMade, noticeRaised, noticeClosed, windowCleared } = windowSlice.actions;
