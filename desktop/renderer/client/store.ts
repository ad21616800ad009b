/** The Redux store of one window. */
import { configureStore } from '@reduxjs/toolkit';
import { useDispatch, useSelector } from 'react-redux';
import { bridgeApi } from './bridge-api.ts';
import type { ClientPorts } from './bridge-api.ts';
import { StepUpPrompt } from './step-up.ts';
import { windowSlice } from './window-slice.ts';

/** The development checks walk every action: plans and samples are too large for that, and plain data by contract. */
export const createConsoleStore = (ports: Omit<ClientPorts, 'stepUp'>) => {
  const stepUp = new StepUpPrompt();
  const store = configureStore({
    reducer: { [bridgeApi.reducerPath]: bridgeApi.reducer, window: windowSlice.reducer },
    middleware: (defaults) =>
      defaults({ thunk: { extraArgument: { ...ports, stepUp } }, serializableCheck: false, immutableCheck: false }).concat(
        bridgeApi.middleware,
      ),
    devTools: false,
  });
  return Object.assign(store, { stepUp });
};

export type ConsoleStore = ReturnType<typeof createConsoleStore>;
export type ConsoleRootState = ReturnType<ConsoleStore['getState']>;

export const useConsoleSelector = useSelector.withTypes<ConsoleRootState>();
export const useConsoleDispatch = useDispatch.withTypes<ConsoleStore['dispatch']>();
